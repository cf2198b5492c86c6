//! The end of a JSON object: brackets and quotes, and what may stand between them.

use super::{Progress, too_long};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::json::is_spacing;
use crate::limits::DEPTH_MAX;

/// What the bytes seen so far allow to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The object's bracket, or spacing.
    Message,
    /// A key or the end of a new object.
    FirstKey,
    /// A key behind a comma.
    Key,
    /// The colon behind a key.
    Colon,
    /// A value behind a colon or comma.
    Value,
    /// A value or the end of a new array.
    FirstItem,
    /// A comma or the end of the array or object.
    Separator,
    /// More of a number or word, or what may stand behind one.
    Word,
    /// More of a text.
    Text {
        /// Whether a colon must follow.
        key: bool,
    },
    /// The character behind a backslash.
    Escaped {
        /// As in `Text`.
        key: bool,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Scan {
    next: Next,
    /// Where in the buffer the message begins: behind all spacing seen so far.
    start: usize,
    depth: usize,
    /// One bit per open container, the innermost lowest: 1 for an object, 0 for an array.
    objects: u32,
}

const _: () = assert!(DEPTH_MAX <= u32::BITS as usize, "one bit per open container");

impl Scan {
    pub(super) const fn new() -> Self {
        Self { next: Next::Message, start: 0, depth: 0, objects: 0 }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.next, Next::Message)
    }

    /// Looks at `buffer[from..]`. The message, from its bracket on, has at most `bytes_max` bytes: spacing in front of it is
    /// not counted, because how much of that is still in the buffer depends on how the stream was cut.
    pub(super) fn run(&mut self, buffer: &[u8], from: usize, bytes_max: usize) -> Result<Progress, DecodeError> {
        let mut at = from;
        if self.is_idle() {
            at += buffer[at..].iter().take_while(|byte| is_spacing(**byte)).count();
            self.start = at;
        }
        let limit = self.start + bytes_max;
        let buffer = &buffer[..buffer.len().min(limit)];
        while let Some(&byte) = buffer.get(at) {
            if let Next::Text { key: false } = self.next {
                // Most bytes of a long message are text: pass them in one tight loop.
                at += buffer[at..].iter().take_while(|byte| !matches!(**byte, b'"' | b'\\' | 0..0x20)).count();
                let Some(&byte) = buffer.get(at) else { break };
                self.step(byte).map_err(|kind| DecodeError { at, kind })?;
            } else {
                self.step(byte).map_err(|kind| DecodeError { at, kind })?;
            }
            at += 1;
            if self.depth == 0 && self.next == Next::Separator {
                return Ok(Progress::End(at));
            }
        }
        // Every byte up to the bound has been seen, and the message needs at least one more.
        if at == limit { Err(DecodeError { at, kind: too_long(bytes_max) }) } else { Ok(Progress::More(at)) }
    }

    fn step(&mut self, byte: u8) -> Result<(), DecodeErrorKind> {
        self.next = match (self.next, byte) {
            (Next::Text { key }, b'\\') => Next::Escaped { key },
            (Next::Text { key: true }, b'"') => Next::Colon,
            (Next::Text { key: false }, b'"') => Next::Separator,
            (Next::Text { .. }, 0..0x20) => return Err(DecodeErrorKind::Malformed("character in text")),
            (Next::Text { key }, _) => Next::Text { key },
            (Next::Escaped { key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u') => {
                Next::Text { key }
            }
            (Next::Escaped { .. }, _) => return Err(DecodeErrorKind::Malformed("escape")),
            (Next::Word, byte) if is_spacing(byte) => Next::Separator,
            (next, byte) if is_spacing(byte) => next,
            (Next::Message, b'{') | (Next::Value | Next::FirstItem, b'{') => self.open(true)?,
            (Next::Value | Next::FirstItem, b'[') => self.open(false)?,
            (Next::FirstKey | Next::Key, b'"') => Next::Text { key: true },
            (Next::Colon, b':') => Next::Value,
            (Next::Value | Next::FirstItem, b'"') => Next::Text { key: false },
            (Next::Value | Next::FirstItem, b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I') => Next::Word,
            (Next::Word, b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => Next::Word,
            (Next::Separator | Next::Word, b',') if self.in_object() => Next::Key,
            (Next::Separator | Next::Word, b',') => Next::Value,
            (Next::FirstKey | Next::Separator | Next::Word, b'}') if self.in_object() => self.close(),
            (Next::FirstItem | Next::Separator | Next::Word, b']') if !self.in_object() => self.close(),
            (Next::Message, _) => return Err(DecodeErrorKind::WrongType("an object")),
            (Next::FirstKey | Next::Key, _) => return Err(DecodeErrorKind::Malformed("key")),
            (Next::Colon, _) => return Err(DecodeErrorKind::Malformed("separator behind a key")),
            (Next::Value | Next::FirstItem, _) => return Err(DecodeErrorKind::Malformed("value")),
            (Next::Separator | Next::Word, _) => return Err(DecodeErrorKind::Malformed("separator")),
        };
        Ok(())
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn open(&mut self, object: bool) -> Result<Next, DecodeErrorKind> {
        if self.depth == DEPTH_MAX {
            return Err(DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX });
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u32::from(object);
        Ok(if object { Next::FirstKey } else { Next::FirstItem })
    }

    const fn close(&mut self) -> Next {
        self.depth -= 1;
        self.objects >>= 1;
        Next::Separator
    }
}
