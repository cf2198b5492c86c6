//! Annotated hexdumps: offset, bytes, field, value (feature `dump`).
//!
//! For goldens, for tools and for people who read traffic. Everything in a message is shown, passwords and texts
//! too: a dump does not belong in a log.
//!
//! ```
//! # use wire::{codec::Codec, dump};
//! let hex = dump::message(Codec::Samira1, b"\x07\0\0\0\x01\0\x07success\x02\0\0\0\x01");
//! assert_eq!(hex, "\
//! 000000  07 00 00 00 01                                            dictionary of 1
//! 000005  00 07 73 75 63 63 65 73 73                       success  key
//! 00000e  02 00 00 00 01                                   success  integer 1
//! ");
//! ```

mod json;
mod postcard;
mod samira;
mod samira2;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::{Display, Write as _};

use serde::Serialize;

use crate::codec::Codec;
use crate::error::DecodeError;

/// Bytes shown in one line.
const LINE_BYTES: usize = 16;

/// Dumps one frame, or what stands in its place: from the first byte that makes no sense on, bytes are shown as
/// they are, behind the reason.
#[must_use]
pub fn message(codec: Codec, bytes: &[u8]) -> String {
    let mut rows = Rows::new(bytes);
    let walked = match codec {
        Codec::Json | Codec::Json2 => json::walk(&mut rows),
        Codec::Samira1 => samira::walk(&mut rows),
        Codec::Samira2 => samira2::walk(&mut rows),
    };
    rows.finish(walked)
}

/// Dumps what [`crate::replication::encode`] makes of `value`.
#[must_use]
pub fn replication<T: Serialize + ?Sized>(value: &T) -> String {
    let bytes = crate::replication::encode(value);
    let mut rows = Rows::new(&bytes);
    rows.take(1, "format version");
    let walked = postcard::walk(&mut rows, value);
    rows.finish(walked)
}

/// One annotated piece.
struct Row {
    start: usize,
    len: usize,
    field: String,
    value: String,
}

/// The pieces of one message, in order and without gaps.
struct Rows<'a> {
    bytes: &'a [u8],
    /// End of the last piece; `at <= bytes.len()`.
    at: usize,
    /// Where in the message the walk is: `messages[0].id`.
    field: String,
    rows: Vec<Row>,
}

impl<'a> Rows<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, field: String::new(), rows: Vec::new() }
    }

    /// What has not been annotated yet.
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Annotates the next `len` bytes, `len <= rest().len()`.
    fn take(&mut self, len: usize, value: impl Display) {
        let row = Row { start: self.at, len, field: printable(&self.field), value: printable(&value.to_string()) };
        self.rows.push(row);
        self.at += len;
    }

    /// Walks something that stands under `key`.
    fn under<T>(&mut self, key: impl Display, walk: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.field.len();
        let dot = if self.field.is_empty() { "" } else { "." };
        write!(self.field, "{dot}{key}").expect("a string takes everything");
        let result = walk(self);
        self.field.truncate(len);
        result
    }

    /// Walks something that stands at a place of a list.
    fn item<T>(&mut self, index: usize, walk: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.field.len();
        write!(self.field, "[{index}]").expect("a string takes everything");
        let result = walk(self);
        self.field.truncate(len);
        result
    }

    /// Adds what no walk has come to, and why.
    fn finish<E: Display>(mut self, walked: Result<(), E>) -> String {
        let left = self.rest().len();
        match walked {
            Err(error) => self.take(left, error),
            Ok(()) if left > 0 => self.take(left, "left over"),
            Ok(()) => {}
        }
        self.render()
    }

    fn render(&self) -> String {
        let width = self.rows.iter().map(|row| row.field.chars().count()).max().unwrap_or(0);
        let hex_width = LINE_BYTES * 3 - 1;
        let mut out = String::new();
        for row in &self.rows {
            let mut lines = self.bytes[row.start..row.start + row.len].chunks(LINE_BYTES);
            let hex = lines.next().map(hex).unwrap_or_default();
            let line = format!("{:06x}  {hex:hex_width$}  {:width$}  {}", row.start, row.field, row.value);
            out.push_str(line.trim_end());
            out.push('\n');
            for (line, start) in lines.zip((row.start + LINE_BYTES..).step_by(LINE_BYTES)) {
                out.push_str(&format!("{start:06x}  {}\n", self::hex(line)));
            }
        }
        out
    }
}

/// One line of text, whatever a peer has put into it.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '.' } else { character }).collect()
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// What a walk returns: where it could not go on.
type Walked<T = ()> = Result<T, DecodeError>;

#[cfg(all(test, feature = "std"))]
mod tests;
