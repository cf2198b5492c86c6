//! One golden per message and codec: `snapshots/wire/<message>__<codec>.snap`, an annotated hexdump.
//!
//! A golden that changes is a new wire format: old clients and old nodes read the old one. Read each with the
//! protocol's description beside it before accepting it.
//!
//! This is a crate of its own because `cargo insta` looks for goldens only inside the package whose tests made them.

use insta::{Settings, assert_snapshot};
use serde::Serialize;
use wire::codec::Codec;
use wire::dump;

/// Compares what each codec of a dialect makes of a message with its golden, then has it read as the type a receiver uses
/// (the sender's may be another one that looks the same) and written again.
macro_rules! golden {
    ($name:expr, $message:expr, $read:ty) => {
        golden!(wire::codec::Codec::LEGACY, $name, $message, $read)
    };
    ($codecs:expr, $name:expr, $message:expr, $read:ty) => {
        let message = &$message;
        for codec in $codecs {
            let frame = $crate::encode(codec, message);
            $crate::compare_message($name, codec, &frame);
            let mut copy = frame.clone();
            let read: $read = codec.decode(wire::frame::body(codec, &mut copy)).expect("what was written can be read");
            assert_eq!($crate::encode(codec, &read), frame, "{} as {}", $name, stringify!($read));
        }
    };
}

mod chat;
mod page;
mod replication;
mod replies;
mod requests;
mod shape;

fn encode(codec: Codec, message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_frame_to_vec(message, &mut bytes).expect("the message has a form");
    bytes
}

fn compare_message(name: &str, codec: Codec, bytes: &[u8]) {
    let codec_name = match codec {
        Codec::Json => "json",
        Codec::Samira1 => "samira1",
        Codec::Json2 => "json2",
        Codec::Samira2 => "samira2",
    };
    compare(&format!("{name}__{codec_name}"), &dump::message(codec, bytes));
}

/// Compares `text` with the golden of this name.
fn compare(name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../../wire");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!(name, text));
}

/// A file of this repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).expect(path)
}

/// The examples in the description of the formats are goldens, to the letter.
#[test]
fn documented_bytes_are_the_real_ones() {
    let page = read("docs/wire.md");
    let mut examples = 0;
    for (before, block) in page.split("```").collect::<Vec<_>>().chunks_exact(2).map(|pair| (pair[0], pair[1])) {
        let Some((_, path)) = before.trim_end_matches("`:\n\n").rsplit_once('`') else { continue };
        let golden = read(path);
        let (_, content) = golden.trim_start_matches("---\n").split_once("---\n").expect("a header");
        assert_eq!(block.trim_start_matches('\n'), content, "{path}");
        examples += 1;
    }
    assert_eq!(examples, 7);
}
