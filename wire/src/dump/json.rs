//! A walk over JSON that names what it sees. Each piece includes the separators behind it.

use alloc::string::String;

use super::{Rows, Walked};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::json::is_spacing;
use crate::limits::DEPTH_MAX;

pub(super) fn walk(rows: &mut Rows<'_>) -> Walked {
    value(rows, 0)
}

fn value(rows: &mut Rows<'_>, depth: usize) -> Walked {
    let spacing = spacing(rows, 0);
    let Some(first) = rows.rest().get(spacing) else { return Err(truncated(rows)) };
    match first {
        b'{' | b'[' if depth == DEPTH_MAX => {
            let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
            Err(DecodeError { at: rows.at, kind })
        }
        b'{' => {
            piece(rows, spacing + 1, b"");
            while !closing(rows, b'}')? {
                let len = text_len(rows, 0)?;
                let key = shown(&rows.rest()[..len]);
                rows.under(key.trim_matches('"'), |rows| {
                    let len = separated(rows, len, b":");
                    rows.take(len, "key");
                    value(rows, depth + 1)
                })?;
            }
            Ok(())
        }
        b'[' => {
            piece(rows, spacing + 1, b"");
            let mut index = 0;
            while !closing(rows, b']')? {
                rows.item(index, |rows| value(rows, depth + 1))?;
                index += 1;
            }
            Ok(())
        }
        b'"' => {
            let len = text_len(rows, spacing)?;
            piece(rows, len, b",");
            Ok(())
        }
        _ => {
            let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
            let len = rows.rest()[spacing..].iter().take_while(|byte| word(byte)).count();
            if len == 0 {
                return Err(DecodeError { at: rows.at + spacing, kind: DecodeErrorKind::Malformed("value") });
            }
            piece(rows, spacing + len, b",");
            Ok(())
        }
    }
}

/// Takes the next `len` bytes and the separator behind them, and shows them as they are.
fn piece(rows: &mut Rows<'_>, len: usize, separator: &[u8]) {
    let value = shown(&rows.rest()[..len]);
    let len = separated(rows, len, separator);
    rows.take(len, value.trim_ascii());
}

/// Takes a closing bracket if it comes next.
fn closing(rows: &mut Rows<'_>, bracket: u8) -> Walked<bool> {
    let spacing = spacing(rows, 0);
    match rows.rest().get(spacing) {
        None => Err(truncated(rows)),
        Some(byte) if *byte == bracket => {
            piece(rows, spacing + 1, b",");
            Ok(true)
        }
        Some(_) => Ok(false),
    }
}

/// Length of the text that begins `offset` bytes ahead, those bytes included.
fn text_len(rows: &Rows<'_>, offset: usize) -> Walked<usize> {
    let text = &rows.rest()[offset..];
    if text.first() != Some(&b'"') {
        return Err(DecodeError { at: rows.at + offset, kind: DecodeErrorKind::Malformed("key") });
    }
    let mut len = 1;
    loop {
        match text.get(len) {
            None => return Err(truncated(rows)),
            Some(b'"') => return Ok(offset + len + 1),
            Some(b'\\') => len += 2,
            Some(_) => len += 1,
        }
    }
}

/// Length of `len` bytes, the spacing and the separator behind them.
fn separated(rows: &Rows<'_>, len: usize, separator: &[u8]) -> usize {
    let len = spacing(rows, len);
    match rows.rest().get(len) {
        Some(byte) if separator.contains(byte) => spacing(rows, len + 1),
        _ => len,
    }
}

/// Offset of the first byte from `offset` on that is not spacing.
fn spacing(rows: &Rows<'_>, offset: usize) -> usize {
    offset + rows.rest()[offset..].iter().take_while(|byte| is_spacing(**byte)).count()
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const fn truncated(rows: &Rows<'_>) -> DecodeError {
    DecodeError { at: rows.bytes.len(), kind: DecodeErrorKind::Truncated }
}
