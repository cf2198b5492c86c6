//! JSON/2, the text form of our own dialect: as short as JSON can be, and valid JSON for everybody.
//!
//! Out: no spacing, UTF-8 as it is, and only `"`, `\` and control characters escaped. Numbers that are not finite have no
//! form. In: the reader of [`crate::json`], which takes more than this writes.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::Serialize;

use super::ser::Style;
use crate::error::EncodeError;

/// Writes `value` to the front of `out` and returns how many bytes it took.
///
/// # Errors
/// A buffer too small, or a value JSON has no form for.
pub fn to_slice<T: Serialize + ?Sized>(value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
    super::slice(value, out, Style::Compact)
}

/// Appends `value` to `out`. On an error `out` is as long as it was before.
///
/// # Errors
/// A value JSON has no form for.
#[cfg(feature = "alloc")]
pub fn to_vec<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    super::vec(value, out, Style::Compact)
}

/// How many bytes `value` takes.
///
/// # Errors
/// A value JSON has no form for.
pub fn encoded_len<T: Serialize + ?Sized>(value: &T) -> Result<usize, EncodeError> {
    super::count(value, Style::Compact)
}

/// Bytes between two items or pairs.
pub(crate) const ITEM_SEPARATOR_LEN: usize = Style::Compact.item_separator().len();
