//! What can be wrong with bytes, and at which byte; and why a value could not be written.
//!
//! "More bytes are needed" is not an error: splitters say it with `None`. A decoder that is handed a whole
//! frame and still runs out of data reports [`DecodeErrorKind::Truncated`].

use core::fmt;

use serde::de::{Expected, Unexpected};

/// Why a frame could not be decoded, and the offset of the byte where that became clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct DecodeError {
    /// Offset from the start of the decoded slice, in bytes.
    pub at: usize,
    /// What was wrong there.
    pub kind: DecodeErrorKind,
}

/// The reasons, grouped by whose fault they are: malformed input, a bound exceeded, something newer than us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The frame ends inside a value.
    #[error("the frame ends inside a value")]
    Truncated,
    /// Bytes are left over behind the value.
    #[error("bytes are left over behind the value")]
    TrailingBytes,
    /// The bytes break the grammar of the format.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A well-formed value of another type than this place takes.
    #[error("expected {0}")]
    WrongType(&'static str),
    /// A well-formed value of a type that this place does not take.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// A key that must be there is not.
    #[error("missing key {0}")]
    MissingKey(&'static str),
    /// Two values where there can be one.
    #[error("more than one {0}")]
    Repeated(&'static str),
    /// The type being decoded refused the value for a reason of its own.
    #[error("invalid value")]
    Invalid,
    /// A number outside the range this place takes.
    #[error("number out of range")]
    NumberOutOfRange,
    /// A bound of [`crate::limits`] was exceeded.
    #[error("{what} exceeds its limit of {max}")]
    LimitExceeded {
        /// The bounded thing, in words.
        what: &'static str,
        /// The bound, in the unit its definition names.
        max: usize,
    },
    /// A format version this build does not know.
    #[error("format version {got} is not supported")]
    Version {
        /// The version byte that was read.
        got: u8,
    },
}

/// Offset of an error that was raised by a visitor, which does not see the bytes. The deserializers replace it by
/// their own position before anybody outside this crate can read it.
const AT_UNKNOWN: usize = usize::MAX;

impl DecodeError {
    /// An error that only the deserializer around it can place.
    const fn unplaced(kind: DecodeErrorKind) -> Self {
        Self { at: AT_UNKNOWN, kind }
    }

    /// Fills in the place of an error that was raised without one.
    pub(crate) const fn or_at(self, at: usize) -> Self {
        if self.at == AT_UNKNOWN { Self { at, kind: self.kind } } else { self }
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::unplaced(DecodeErrorKind::Invalid)
    }

    fn invalid_type(unexpected: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::unplaced(DecodeErrorKind::Unexpected(describe(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::unplaced(match unexpected {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => DecodeErrorKind::NumberOutOfRange,
            _ => DecodeErrorKind::Invalid,
        })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::unplaced(DecodeErrorKind::Repeated(field))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::unplaced(DecodeErrorKind::MissingKey(field))
    }
}

/// Names a value's type the way JSON and SAMIRA name theirs.
const fn describe(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "float",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Seq => "array",
        Unexpected::Map => "dictionary",
        _ => "value",
    }
}

/// Why a value could not be written. Nothing that was written before the error is a message; throw it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The caller's buffer is too small.
    #[error("the buffer is full")]
    BufferFull,
    /// SAMIRA/1 has 32-bit integers only, SAMIRA/2 and JSON here 64-bit ones.
    #[error("integer out of the format's range")]
    IntegerRange,
    /// SAMIRA/1 counts the bytes of a key in 16 bits.
    #[error("key is longer than 65535 bytes")]
    KeyTooLong,
    /// SAMIRA/1 counts bytes and items in 32 bits.
    #[error("text or list is longer than 2^32 - 1")]
    TooLong,
    /// A key that is not text.
    #[error("keys must be text")]
    KeyNotText,
    /// A type the format has no form for.
    #[error("the format has no {0}")]
    Unsupported(&'static str),
    /// The value refused to be written for a reason of its own.
    #[error("the value cannot be written")]
    Invalid,
}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Invalid
    }
}
