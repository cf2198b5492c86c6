//! A whole connection as the server sees it: the first byte chooses the dialect, then come a handshake and requests.

use wire::codec::Codec;
use wire::frame::Splitter;
use wire::limits::WATCH_PREFACE;

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
    while let Ok(Some(len)) = splitter.push(rest) {
        let (frame, behind) = rest.split_at(len);
        request::check(codec, frame);
        rest = behind;
    }
}

/// Bytes of a recording that are enough: a handshake and some requests. Whole ones only make every run slower.
const SEED_BYTES_MAX: usize = 700;

/// How clients began on recorded connections.
pub fn seeds() -> Vec<Vec<u8>> {
    let streams = Codec::LEGACY.into_iter().flat_map(|codec| seeds::client_bytes(codec).streams);
    streams.map(|stream| stream[..stream.len().min(SEED_BYTES_MAX)].to_vec()).collect()
}
