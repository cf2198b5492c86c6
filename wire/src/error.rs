//! What can be wrong with bytes, and at which byte.
//!
//! "More bytes are needed" is not an error: splitters say it with `None`. A decoder that is handed a whole
//! frame and still runs out of data reports [`DecodeErrorKind::Truncated`].

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
