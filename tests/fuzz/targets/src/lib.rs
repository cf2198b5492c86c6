//! What fuzzing checks, as plain functions from bytes to a panic or nothing.
//!
//! `cargo xtask fuzz` has libFuzzer call them; this crate's own tests call them with every golden and recording, whole,
//! cut and damaged, so that a change which breaks a target is seen without fuzzing.
//!
//! * [`splitter`]: where messages end does not depend on how they arrive, and no buffer outgrows its bound.
//! * [`json`], [`samira`]: what decodes can be encoded again, and says the same; JSON is held against `serde_json`.
//! * [`json2`], [`samira2`]: the same of our own dialect, whose messages say the same in both.
//! * [`replication`]: what nodes say to each other and store.
//! * [`sniffer`]: a whole connection, from the first byte on.
//! * [`session`]: both sides of a connection in our own dialect, behind their codecs.
//! * [`seeds`]: what fuzzing starts from, made of the goldens and recordings.

pub mod json;
pub mod json2;
pub mod replication;
pub mod samira;
pub mod samira2;
pub mod seeds;
pub mod session;
pub mod sniffer;
pub mod splitter;

mod request;

/// One thing that can be fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the program under `tests/fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// What it checks, in a line.
    pub about: &'static str,
    /// The check. Panics when it fails.
    pub run: fn(&[u8]),
    /// What to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "splitter",
        about: "frames do not depend on how the bytes are cut, and stay within their bound",
        run: splitter::run,
        seeds: splitter::seeds,
    },
    Target {
        name: "json",
        about: "JSON requests and values: decode, encode, decode; compared with serde_json",
        run: json::run,
        seeds: json::seeds,
    },
    Target {
        name: "samira",
        about: "SAMIRA/1 requests and values: decode, encode, decode",
        run: samira::run,
        seeds: samira::seeds,
    },
    Target {
        name: "json2",
        about: "JSON/2 messages and values: decode, encode, decode; written as serde_json does",
        run: json2::run,
        seeds: json2::seeds,
    },
    Target {
        name: "samira2",
        about: "SAMIRA/2 messages and values: decode, encode, decode",
        run: samira2::run,
        seeds: samira2::seeds,
    },
    Target {
        name: "replication",
        about: "messages between nodes, log entries, commands and join messages",
        run: replication::run,
        seeds: replication::seeds,
    },
    Target {
        name: "sniffer",
        about: "a whole connection: first byte, handshake, requests",
        run: sniffer::run,
        seeds: sniffer::seeds,
    },
    Target {
        name: "session",
        about: "both sides of a connection in our own dialect, whatever the other side sends",
        run: session::run,
        seeds: session::seeds,
    },
];
