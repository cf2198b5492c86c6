//! A whole connection as the server sees it: the first byte chooses the dialect, then come a handshake and requests.

use wire::codec::Codec;
use wire::frame::{Splitter, body};
use wire::limits::WATCH_PREFACE;
use wire::samira2;

use crate::{request, seeds};

/// Treats the input as all that a client sends.
pub fn run(data: &[u8]) {
    let Some(&first) = data.first() else { return };
    let sniffed = Codec::sniff(first);
    for codec in Codec::LEGACY {
        // One byte tells: each splitter refuses what is not its own at once, and nothing that is.
        let refused = Splitter::new(codec).push(&[first]).is_err();
        assert_eq!(refused, sniffed != Some(codec), "{first:#04x} as {codec:?}");
    }
    let Some(codec) = sniffed else { return };
    assert_ne!(first, WATCH_PREFACE, "a node is no client");
    let mut splitter = Splitter::new(codec);
    let mut rest = data;
    if codec == Codec::Samira2 {
        match samira2::strip_preface(data) {
            Ok(Some(frames)) => rest = frames,
            Ok(None) => return,
            Err(error) => return request::placed(error, data),
        }
    }
    while let Ok(Some(len)) = splitter.push(rest) {
        let (frame, behind) = rest.split_at(len);
        match codec {
            Codec::Samira1 => request::check(codec, frame),
            Codec::Samira2 => request::check_chat(codec, body(codec, &mut frame.to_vec())),
            // The first message tells the dialect; here either may be meant by any.
            Codec::Json | Codec::Json2 => {
                request::check(Codec::Json, frame);
                request::check_chat(Codec::Json2, frame);
            }
        }
        rest = behind;
    }
}

/// Bytes of a recording that are enough: a handshake and some requests. Whole ones only make every run slower.
const SEED_BYTES_MAX: usize = 700;

/// How clients began on recorded connections.
pub fn seeds() -> Vec<Vec<u8>> {
    let streams = Codec::ALL.into_iter().flat_map(|codec| {
        let preface = if codec == Codec::Samira2 { &samira2::PREFACE[..] } else { &[] };
        seeds::client_bytes(codec).streams.into_iter().map(move |stream| [preface, &stream].concat())
    });
    streams.map(|stream| stream[..stream.len().min(SEED_BYTES_MAX)].to_vec()).collect()
}
