//! What the nodes of one cluster store in their logs and say to each other.
//!
//! Every value is postcard behind one version byte ([`VERSION`]), so that a node can tell a newer peer or file
//! from damage. Postcard is not self-describing: enum variants and struct fields are only ever appended, and a
//! change of an existing one is a new version. Nothing here is an openraft type; the node converts, so that an
//! upgrade of the consensus library moves no byte on disk or on a link.
//!
//! * [`entry`]: log entries as stored and sent.
//! * [`command`]: what an entry asks the chat state to do, and what came of it.
//! * [`rpc`]: requests and replies between admitted nodes.
//! * [`join`]: how a new node asks to be let in.

pub mod command;
pub mod entry;
pub mod join;
pub mod rpc;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, DecodeErrorKind};

/// Format version in front of every replication value, stored or sent.
pub const VERSION: u8 = 1;

/// Encodes `value` behind the version byte and appends it to `out`.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, mut out: Vec<u8>) -> Vec<u8> {
    out.push(VERSION);
    postcard::to_extend(value, out).expect("postcard writes every type of this module into a growing buffer")
}

/// Encodes `value` behind the version byte.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    encode_into(value, Vec::new())
}

/// Decodes one value that fills `bytes` whole.
///
/// # Errors
/// An unknown version byte, malformed content, or bytes left over.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (value, rest) = decode_prefix(bytes)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError { at: bytes.len() - rest.len(), kind: DecodeErrorKind::TrailingBytes })
    }
}

/// Decodes one value from the front of `bytes` and returns what follows it.
///
/// # Errors
/// An unknown version byte or malformed content.
pub fn decode_prefix<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError { at: 0, kind: DecodeErrorKind::Truncated }),
        Some((&VERSION, rest)) => postcard::take_from_bytes(rest).map_err(|error| DecodeError {
            // Postcard does not say where it stopped; the value's first byte is the honest answer.
            at: 1,
            kind: match error {
                postcard::Error::DeserializeUnexpectedEnd => DecodeErrorKind::Truncated,
                postcard::Error::DeserializeBadUtf8 => DecodeErrorKind::Utf8,
                _ => DecodeErrorKind::Malformed("replication message"),
            },
        }),
        Some((&got, _)) => Err(DecodeError { at: 0, kind: DecodeErrorKind::Version { got } }),
    }
}
