//! JSON, byte for byte as the original writes it and as liberal as the original reads it.
//!
//! Out: `", "` and `": "` as separators, ASCII only (`\uXXXX` in lowercase hex, surrogate pairs beyond the BMP),
//! floats as Python's `repr`, `NaN` and `Infinity` bare.
//!
//! In: any spacing and any escapes, `NaN`, `Infinity` and `-Infinity`, integers of any size (those beyond 64 bits
//! become floats), duplicate keys as they come. Text is unescaped where it stands, which is why decoding takes
//! `&mut [u8]`: it never gets longer, nothing is allocated, and every text can be borrowed. A lone surrogate is an
//! error, since it is no text.

pub mod compact;
mod de;
mod ser;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use self::de::Deserializer;
use self::ser::{Serializer, Style};
use crate::bytes::{CountSink, Sink as _, SliceSink};
use crate::error::{DecodeError, EncodeError};

/// Writes `value` to the front of `out` and returns how many bytes it took.
///
/// # Errors
/// A buffer too small, or a value JSON has no form for.
pub fn to_slice<T: Serialize + ?Sized>(value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
    slice(value, out, Style::Original)
}

/// Appends `value` to `out`. On an error `out` is as long as it was before.
///
/// # Errors
/// A value JSON has no form for.
#[cfg(feature = "alloc")]
pub fn to_vec<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    vec(value, out, Style::Original)
}

/// How many bytes `value` takes.
///
/// # Errors
/// A value JSON has no form for.
pub fn encoded_len<T: Serialize + ?Sized>(value: &T) -> Result<usize, EncodeError> {
    count(value, Style::Original)
}

/// Decodes the one value that, with spacing around it, fills `bytes`. Text is unescaped in place and borrowed, so
/// that `bytes` holds no JSON any more afterwards, also after an error.
///
/// # Errors
/// Malformed bytes, bytes left over, nesting deeper than [`crate::limits::DEPTH_MAX`], or a type mismatch.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de mut [u8]) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer::new(bytes);
    let value = T::deserialize(&mut deserializer).map_err(|error| error.or_at(deserializer.at()))?;
    deserializer.end()?;
    Ok(value)
}

fn slice<T: Serialize + ?Sized>(value: &T, out: &mut [u8], style: Style) -> Result<usize, EncodeError> {
    let mut sink = SliceSink::new(out);
    value.serialize(&mut Serializer::new(&mut sink, style))?;
    Ok(sink.position())
}

#[cfg(feature = "alloc")]
fn vec<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>, style: Style) -> Result<(), EncodeError> {
    let start = out.len();
    let written = value.serialize(&mut Serializer::new(&mut crate::bytes::VecSink::new(out), style));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn count<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<usize, EncodeError> {
    let mut sink = CountSink::default();
    value.serialize(&mut Serializer::new(&mut sink, style))?;
    Ok(sink.position())
}

/// Bytes between two items or pairs.
pub(crate) const ITEM_SEPARATOR_LEN: usize = Style::Original.item_separator().len();

/// Spacing between tokens, and between messages.
pub(crate) const fn is_spacing(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(all(test, feature = "std"))]
mod tests;
