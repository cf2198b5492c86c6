//! SAMIRA/2, the binary form of our own dialect: as short as a schema would make it, and yet self-describing.
//!
//! A message is one dictionary, written as its pairs alone: they end where the frame ends, so that it needs neither a tag
//! nor a count. Inside, [`tag`] lists the forms of values and [`keys`] those of keys. It is a serde format:
//!
//! | serde | SAMIRA/2 |
//! |---|---|
//! | integers | 64 bits, signed or unsigned; a value outside is an [`EncodeError::IntegerRange`] |
//! | floats | doubles |
//! | text, characters, unit variants | text |
//! | bytes | bytes |
//! | `None`, units | null |
//! | sequences, tuples | array |
//! | structs, maps | dictionary; keys must be text |
//! | other enum variants | a dictionary of one pair, variant name to content |
//!
//! Every value has exactly one form, and anything else is refused with its offset; only a key may come as text although it
//! has an index. Text is borrowed from the frame, names with an index from the table. On the way in, counts and lengths
//! are believed only as far as bytes follow.
//!
//! *Counts stand in front.* Serde mostly knows them beforehand. Where it does not, or is wrong, the items are written first
//! and then moved by the few bytes that the count takes more or less: at most once for each container around a byte.
//!
//! *Frames.* On a connection each side first says [`PREFACE`], and then sends frames: the length of the message as a
//! varint, then the message ([`crate::frame`]).

mod de;
pub mod keys;
mod ser;
pub mod tag;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use self::de::Deserializer;
use self::ser::MessageSerializer;
#[cfg(feature = "alloc")]
use crate::bytes::VecSink;
use crate::bytes::{CountSink, Sink, SliceSink};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::SAMIRA2_PREFACE;
use crate::varint;

/// What each side says before its first frame.
pub const PREFACE: [u8; 4] = [SAMIRA2_PREFACE, b'S', b'M', b'2'];

/// What follows the [`PREFACE`] at the front of all that a peer has sent so far; `None` if more bytes are needed to tell.
///
/// # Errors
/// Anything else: the peer speaks something else, or a version that this build does not know.
pub fn strip_preface(received: &[u8]) -> Result<Option<&[u8]>, DecodeError> {
    match PREFACE.iter().zip(received).position(|(expected, byte)| expected != byte) {
        Some(at) => Err(DecodeError { at, kind: DecodeErrorKind::Malformed("preface") }),
        None => Ok(received.get(PREFACE.len()..)),
    }
}

/// Writes `value`, a message, to the front of `out` and returns how many bytes it took.
///
/// # Errors
/// A buffer too small, or a value SAMIRA/2 has no form for: as a message, all but dictionaries.
pub fn to_slice<T: Serialize + ?Sized>(value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut sink = SliceSink::new(out);
    value.serialize(MessageSerializer::new(&mut sink))?;
    Ok(sink.position())
}

/// Appends `value`, a message, to `out`. On an error `out` is as long as it was before.
///
/// # Errors
/// A value SAMIRA/2 has no form for.
#[cfg(feature = "alloc")]
pub fn to_vec<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = value.serialize(MessageSerializer::new(&mut VecSink::new(out)));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// How many bytes the message `value` takes.
///
/// # Errors
/// A value SAMIRA/2 has no form for.
pub fn encoded_len<T: Serialize + ?Sized>(value: &T) -> Result<usize, EncodeError> {
    let mut sink = CountSink::default();
    value.serialize(MessageSerializer::new(&mut sink))?;
    Ok(sink.position())
}

/// Writes the frame of the message `value` to the front of `out` and returns how many bytes it took.
///
/// # Errors
/// As [`to_slice`].
pub fn frame_to_slice<T: Serialize + ?Sized>(value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut sink = SliceSink::new(out);
    write_frame(value, &mut sink)?;
    Ok(sink.position())
}

/// Appends the frame of the message `value` to `out`. On an error `out` is as long as it was before.
///
/// # Errors
/// As [`to_vec`].
#[cfg(feature = "alloc")]
pub fn frame_to_vec<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write_frame(value, &mut VecSink::new(out));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Most frames are shorter than 128 bytes. The others are moved once their length is known, which costs less than to count
/// beforehand.
fn write_frame<T: Serialize + ?Sized, S: Sink>(value: &T, sink: &mut S) -> Result<(), EncodeError> {
    let start = sink.position();
    sink.write(&[0])?;
    value.serialize(MessageSerializer::new(sink))?;
    let mut length = [0; varint::BYTES_MAX];
    let digits = varint::write((sink.position() - start - 1) as u64, &mut length);
    sink.replace(start, 1, &length[..digits])
}

/// Decodes the message that fills `bytes`: the body of a frame. Text is borrowed.
///
/// # Errors
/// Malformed bytes, a value that is not in its one form, nesting deeper than [`crate::limits::DEPTH_MAX`], or a type
/// mismatch.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer::new(bytes);
    let value = T::deserialize(de::Message::new(&mut deserializer)).map_err(|error| error.or_at(deserializer.at()))?;
    deserializer.end()?;
    Ok(value)
}

#[cfg(all(test, feature = "std"))]
mod tests;
