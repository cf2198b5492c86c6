//! A walk over a SAMIRA/2 frame that names what it sees.

use alloc::format;
use alloc::string::{String, ToString as _};

use super::{Rows, Walked};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;
use crate::samira2::{keys, tag};
use crate::varint::Varint;

pub(super) fn walk(rows: &mut Rows<'_>) -> Walked {
    let (length, digits) = varint(rows, 0)?;
    rows.take(digits, format!("frame of {length}"));
    let end = usize::try_from(length).ok().and_then(|length| rows.at.checked_add(length));
    while !rows.rest().is_empty() && Some(rows.at) != end {
        pair(rows, 1)?;
    }
    if Some(rows.at) == end { Ok(()) } else { Err(truncated(rows)) }
}

fn pair(rows: &mut Rows<'_>, depth: usize) -> Walked {
    let (key, len, kind) = match byte(rows, 0)? {
        index @ ..0xe0 => (keys::name(index).to_string(), 1, "key"),
        0xff => {
            let (length, digits) = varint(rows, 1)?;
            let len = checked(rows, length, 31)?;
            (text(rows, 1 + digits, len)?, 1 + digits + len, "key in full")
        }
        first => {
            let len = usize::from(first - 0xe0);
            (text(rows, 1, len)?, 1 + len, "key in full")
        }
    };
    rows.under(key, |rows| {
        rows.take(len, kind);
        value(rows, depth)
    })
}

fn value(rows: &mut Rows<'_>, depth: usize) -> Walked {
    let first = byte(rows, 0)?;
    let low = u64::from(first & 0x0f);
    match first {
        ..=tag::SMALL_INTEGER_MAX => rows.take(1, format!("integer {first}")),
        tag::SHORT_TEXT..=0x7f => {
            let len = usize::from(first - tag::SHORT_TEXT);
            let text = text(rows, 1, len)?;
            rows.take(1 + len, format!("text {text:?}"));
        }
        tag::TEXT => {
            let (length, digits) = varint(rows, 1)?;
            let len = checked(rows, length, tag::TEXT_BASE)?;
            let text = text(rows, 1 + digits, len)?;
            rows.take(1 + digits + len, format!("text {text:?}"));
        }
        tag::BYTES => {
            let (length, digits) = varint(rows, 1)?;
            let len = checked(rows, length, 0)?;
            if rows.rest().len() < 1 + digits + len {
                return Err(truncated(rows));
            }
            rows.take(1 + digits + len, format!("{len} bytes"));
        }
        tag::SHORT_ARRAY..=0x8f | tag::SHORT_DICTIONARY..=0x9f | tag::ARRAY | tag::DICTIONARY => {
            container(rows, first, low, depth)?;
        }
        tag::FALSE => rows.take(1, "boolean false"),
        tag::TRUE => rows.take(1, "boolean true"),
        tag::NULL => rows.take(1, "null"),
        tag::FLOAT => rows.take(9, format!("float {:?}", f64::from_be_bytes(array(rows)?))),
        tag::NEGATIVE_INTEGER => {
            let (below, digits) = varint(rows, 1)?;
            rows.take(1 + digits, format!("integer {}", -1 - i128::from(below)));
        }
        tag::INTEGER => {
            let (above, digits) = varint(rows, 1)?;
            rows.take(1 + digits, format!("integer {}", i128::from(tag::INTEGER_BASE) + i128::from(above)));
        }
        tag::INTEGER_12..=0xbf => {
            let [a] = array(rows)?;
            rows.take(2, format!("integer {}", tag::INTEGER_12_BASE + (low << 8 | u64::from(a))));
        }
        tag::INTEGER_20..=0xcf => {
            let low = low << 16 | u64::from(u16::from_be_bytes(array(rows)?));
            rows.take(3, format!("integer {}", tag::INTEGER_20_BASE + low));
        }
        tag::INTEGER_28..=0xdf => {
            let [a, b, c] = array(rows)?;
            let low = low << 24 | u64::from(u32::from_be_bytes([0, a, b, c]));
            rows.take(4, format!("integer {}", tag::INTEGER_28_BASE + low));
        }
        _ => return Err(DecodeError { at: rows.at, kind: DecodeErrorKind::Malformed("tag") }),
    }
    Ok(())
}

fn container(rows: &mut Rows<'_>, first: u8, low: u64, depth: usize) -> Walked {
    if depth == DEPTH_MAX {
        let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
        return Err(DecodeError { at: rows.at, kind });
    }
    let (count, len) = match first {
        tag::ARRAY | tag::DICTIONARY => {
            let (beyond, digits) = varint(rows, 1)?;
            (checked(rows, beyond, tag::COUNT_BASE)?, 1 + digits)
        }
        _ => (low as usize, 1),
    };
    if matches!(first, tag::ARRAY | tag::SHORT_ARRAY..=0x8f) {
        rows.take(len, format!("array of {count}"));
        (0..count).try_for_each(|index| rows.item(index, |rows| value(rows, depth + 1)))
    } else {
        rows.take(len, format!("dictionary of {count}"));
        (0..count).try_for_each(|_| pair(rows, depth + 1))
    }
}

fn byte(rows: &Rows<'_>, offset: usize) -> Walked<u8> {
    rows.rest().get(offset).copied().ok_or(truncated(rows))
}

/// The bytes behind a tag.
fn array<const N: usize>(rows: &Rows<'_>) -> Walked<[u8; N]> {
    rows.rest().get(1..).and_then(<[u8]>::first_chunk).copied().ok_or(truncated(rows))
}

/// A varint, and its length.
fn varint(rows: &Rows<'_>, offset: usize) -> Walked<(u64, usize)> {
    let mut varint = Varint::new();
    for (len, byte) in (1..).zip(rows.rest().get(offset..).unwrap_or_default()) {
        let read = varint.push(*byte);
        let kind = DecodeErrorKind::Malformed("varint");
        if let Some(value) = read.map_err(|_| DecodeError { at: rows.at + offset, kind })? {
            return Ok((value, len));
        }
    }
    Err(truncated(rows))
}

/// A length of `base` plus `beyond`, which the rest has room for.
fn checked(rows: &Rows<'_>, beyond: u64, base: u64) -> Walked<usize> {
    let length = beyond.checked_add(base).and_then(|length| usize::try_from(length).ok());
    length.filter(|length| *length <= rows.rest().len()).ok_or(truncated(rows))
}

fn text(rows: &Rows<'_>, offset: usize, len: usize) -> Walked<String> {
    let bytes = rows.rest().get(offset..).and_then(|rest| rest.get(..len)).ok_or(truncated(rows))?;
    core::str::from_utf8(bytes)
        .map(str::to_string)
        .map_err(|error| DecodeError { at: rows.at + offset + error.valid_up_to(), kind: DecodeErrorKind::Utf8 })
}

const fn truncated(rows: &Rows<'_>) -> DecodeError {
    DecodeError { at: rows.bytes.len(), kind: DecodeErrorKind::Truncated }
}
