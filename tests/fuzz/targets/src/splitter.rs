//! [`Splitter`]: the same frames however the bytes arrive.
//!
//! The first byte of the input chooses the codec and the size bound, the second how the rest is cut.

use wire::DecodeError;
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::limits::{DEPTH_MAX, REQUEST_BYTES_MAX};

use crate::seeds::{self, Recorded};

/// Bits of the first byte.
const CODEC: u8 = 3;
const SMALL: u8 = 4;

/// A bound that fuzzing runs into soon.
const SMALL_BYTES_MAX: usize = 48;

/// Splits the input whole and in pieces.
pub fn run(data: &[u8]) {
    let [settings, cut, stream @ ..] = data else { return };
    let codec = Codec::ALL[usize::from(settings & CODEC)];
    let bytes_max = if settings & SMALL == 0 { REQUEST_BYTES_MAX } else { SMALL_BYTES_MAX };
    let whole = split(codec, bytes_max, [stream]);
    assert_eq!(split(codec, bytes_max, stream.chunks(1)), whole, "byte by byte");
    assert_eq!(split(codec, bytes_max, Pieces { rest: stream, state: *cut }), whole, "in pieces");
    if matches!(codec, Codec::Json | Codec::Json2) {
        second_opinion(stream, bytes_max, &whole);
    }
}

/// Recorded streams of all codecs, under both bounds, and cut in several ways.
pub fn seeds() -> Vec<Vec<u8>> {
    let recorded = (0..=CODEC).zip(Codec::ALL).flat_map(|(bits, codec)| {
        let Recorded { frames, streams } = seeds::client_bytes(codec);
        frames.into_iter().chain(streams).map(move |bytes| (bits, bytes))
    });
    recorded
        .flat_map(|(bits, bytes)| [[bits, 0x35], [bits | SMALL, 0xa7]].map(|settings| [&settings[..], &bytes].concat()))
        .collect()
}

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Split {
    /// Where frames ended.
    ends: Vec<usize>,
    /// Why no more are looked for.
    error: Option<DecodeError>,
}

fn split<'a>(codec: Codec, bytes_max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Split {
    let mut splitter = Splitter::with_bytes_max(codec, bytes_max);
    let mut buffer = Vec::new();
    let mut ends = Vec::new();
    let mut taken = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match splitter.push(&buffer) {
                Ok(Some(len)) => {
                    let counted = len - spacing(codec, &buffer);
                    assert!(0 < counted && counted <= bytes_max && len <= buffer.len(), "a frame of {counted} bytes");
                    buffer.drain(..len);
                    taken += len;
                    ends.push(taken);
                }
                Ok(None) => {
                    let held = buffer.len() - spacing(codec, &buffer);
                    assert!(held < bytes_max, "{held} bytes are held and no end in sight");
                    break;
                }
                Err(DecodeError { at, kind }) => {
                    // A length that leads out of the bound is refused before what it counts has arrived.
                    assert!(at - spacing(codec, &buffer).min(at) <= bytes_max, "byte {at} of at most {bytes_max}");
                    return Split { ends, error: Some(DecodeError { at: taken + at, kind }) };
                }
            }
        }
    }
    Split { ends, error: None }
}

/// Bytes in front of a message that its bound does not count.
fn spacing(codec: Codec, bytes: &[u8]) -> usize {
    let is_json = matches!(codec, Codec::Json | Codec::Json2);
    if is_json { bytes.iter().take_while(|byte| b" \t\r\n".contains(byte)).count() } else { 0 }
}

/// A stream in pieces of 1 to 16 bytes.
struct Pieces<'a> {
    rest: &'a [u8],
    state: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(37).wrapping_add(11);
        let len = (1 + usize::from(self.state >> 4)).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(piece)
    }
}

/// Where `serde_json` sees objects of a legal size and depth end, we see them end.
fn second_opinion(stream: &[u8], bytes_max: usize, ours: &Split) {
    let mut theirs = serde_json::Deserializer::from_slice(stream).into_iter::<serde_json::Value>();
    let mut start = 0;
    let mut ends = ours.ends.iter();
    while let Some(Ok(value)) = theirs.next() {
        let end = theirs.byte_offset();
        if !value.is_object()
            || depth(&value) > DEPTH_MAX
            || end - start - spacing(Codec::Json, &stream[start..]) > bytes_max
        {
            return;
        }
        assert_eq!(ends.next(), Some(&end), "{:?}", ours.error);
        start = end;
    }
}

/// Containers around the innermost value.
pub(crate) fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(pairs) => 1 + pairs.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
