//! A walk over SAMIRA/1 that names what it sees.

use alloc::format;
use alloc::string::{String, ToString as _};

use super::{Rows, Walked};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;
use crate::samira::tag;

pub(super) fn walk(rows: &mut Rows<'_>) -> Walked {
    value(rows, 0)
}

fn value(rows: &mut Rows<'_>, depth: usize) -> Walked {
    let first = number::<1>(rows, 0)?[0];
    let length = |rows: &Rows<'_>| number(rows, 1).map(|bytes| u32::from_be_bytes(bytes) as usize);
    match first {
        tag::TEXT => {
            let len = length(rows)?;
            let text = text(rows, 5, len)?;
            rows.take(5 + len, format!("text {text:?}"));
        }
        tag::INTEGER => rows.take(5, format!("integer {}", i32::from_be_bytes(number(rows, 1)?))),
        tag::FLOAT => rows.take(9, format!("float {:?}", f64::from_be_bytes(number(rows, 1)?))),
        tag::BOOLEAN => rows.take(2, format!("boolean {}", number(rows, 1)? != [0])),
        tag::NULL => rows.take(1, "null"),
        tag::ARRAY | tag::DICTIONARY if depth == DEPTH_MAX => {
            let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
            return Err(DecodeError { at: rows.at, kind });
        }
        tag::ARRAY => {
            let count = length(rows)?;
            rows.take(5, format!("array of {count}"));
            for index in 0..count {
                rows.item(index, |rows| value(rows, depth + 1))?;
            }
        }
        tag::DICTIONARY => {
            let count = length(rows)?;
            rows.take(5, format!("dictionary of {count}"));
            for _ in 0..count {
                let len = usize::from(u16::from_be_bytes(number(rows, 0)?));
                let key = text(rows, 2, len)?;
                rows.under(key, |rows| {
                    rows.take(2 + len, "key");
                    value(rows, depth + 1)
                })?;
            }
        }
        _ => return Err(DecodeError { at: rows.at, kind: DecodeErrorKind::Malformed("tag") }),
    }
    Ok(())
}

fn number<const N: usize>(rows: &Rows<'_>, offset: usize) -> Walked<[u8; N]> {
    rows.rest().get(offset..).and_then(<[u8]>::first_chunk).copied().ok_or(truncated(rows))
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
