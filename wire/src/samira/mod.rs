//! SAMIRA/1, the binary encoding of the original system: every value carries its type and its length.
//!
//! A message is one dictionary. All numbers are big-endian ([`tag`] lists the layouts). It is a serde format:
//!
//! | serde | SAMIRA/1 |
//! |---|---|
//! | integers | tag 02, 32 bits; a value outside is an [`EncodeError::IntegerRange`] |
//! | booleans | **tag 02** with 1 or 0, as the original writes them; tag 04 is understood as well |
//! | floats | tag 03 |
//! | text, characters, unit variants | tag 01 |
//! | `None`, units | tag 05 |
//! | sequences, tuples | tag 06 |
//! | structs, maps | tag 07; keys must be text |
//! | other enum variants | a dictionary of one pair, variant name to content |
//!
//! Counts are filled in after the items, so that sequences and maps need not know their length beforehand. On the
//! way in, counts are believed only as far as bytes follow: nothing is ever allocated for them.

mod de;
mod ser;
pub mod tag;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use self::de::Deserializer;
use self::ser::Serializer;
use crate::bytes::{CountSink, Sink as _, SliceSink};
use crate::error::{DecodeError, EncodeError};

/// Writes `value` to the front of `out` and returns how many bytes it took.
///
/// # Errors
/// A buffer too small, or a value SAMIRA/1 has no form for.
pub fn to_slice<T: Serialize + ?Sized>(value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut sink = SliceSink::new(out);
    value.serialize(&mut Serializer::new(&mut sink))?;
    Ok(sink.position())
}

/// Appends `value` to `out`. On an error `out` is as long as it was before.
///
/// # Errors
/// A value SAMIRA/1 has no form for.
#[cfg(feature = "alloc")]
pub fn to_vec<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = value.serialize(&mut Serializer::new(&mut crate::bytes::VecSink::new(out)));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// How many bytes `value` takes.
///
/// # Errors
/// A value SAMIRA/1 has no form for.
pub fn encoded_len<T: Serialize + ?Sized>(value: &T) -> Result<usize, EncodeError> {
    let mut sink = CountSink::default();
    value.serialize(&mut Serializer::new(&mut sink))?;
    Ok(sink.position())
}

/// Decodes the one value that fills `bytes`. Text is borrowed.
///
/// # Errors
/// Malformed bytes, bytes left over, nesting deeper than [`crate::limits::DEPTH_MAX`], or a type mismatch.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer::new(bytes);
    let value = T::deserialize(&mut deserializer).map_err(|error| error.or_at(deserializer.at()))?;
    deserializer.end()?;
    Ok(value)
}

#[cfg(all(test, feature = "std"))]
mod tests;
