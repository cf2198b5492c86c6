//! Where does a message end?
//!
//! Neither JSON nor SAMIRA/1 puts a length in front of a message: its end shows only in its structure. A
//! [`Splitter`] follows that structure as bytes arrive. It looks at each byte once, however they are cut into
//! chunks, needs no memory beyond its own few words, and gives up at the first byte that no message could have.
//! SAMIRA/2 has a length in front, which [`body`] takes off; what follows it is not looked at.
//!
//! It does not replace decoding: what it calls a message has balanced brackets or matching counts and keeps the
//! bounds, and may still hold bad numbers, bad UTF-8 or bad escapes; in SAMIRA/2 anything.

mod json;
mod samira;
mod samira2;

use crate::codec::Codec;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::{CLIENT_FRAME_BYTES_MAX, NODE_FRAME_BYTES_MAX, NODE_FRAME_JSON_BYTES_MAX, REQUEST_BYTES_MAX};

/// The message in a whole frame, as a [`Splitter`] found it: what [`Codec::decode`] takes.
#[must_use]
pub fn body(codec: Codec, frame: &mut [u8]) -> &mut [u8] {
    match codec {
        Codec::Json | Codec::Samira1 | Codec::Json2 => frame,
        Codec::Samira2 => {
            // The length ends with the first byte below 0x80.
            let digits = frame.iter().take_while(|byte| **byte >= 0x80).count();
            frame.get_mut(digits + 1..).unwrap_or_default()
        }
    }
}

/// Finds the ends of messages in a buffer that grows at its tail and is drained at its front.
///
/// ```
/// # use wire::{codec::Codec, frame::Splitter};
/// let mut splitter = Splitter::new(Codec::Json);
/// let mut buffer = Vec::from(&b"{\"action\": \"get_ch"[..]);
/// assert_eq!(splitter.push(&buffer), Ok(None));
/// buffer.extend_from_slice(b"ats\"}\n{");
/// assert_eq!(splitter.push(&buffer), Ok(Some(23)));
/// buffer.drain(..23);
/// assert_eq!(splitter.push(&buffer), Ok(None));
/// ```
#[derive(Debug, Clone)]
pub struct Splitter {
    codec: Codec,
    scan: Scan,
    /// Bytes at the front of the buffer that `scan` has seen.
    scanned: usize,
    bytes_max: usize,
}

/// The scan of one message, for each codec.
#[derive(Debug, Clone)]
enum Scan {
    Json(json::Scan),
    Samira1(samira::Scan),
    Samira2(samira2::Scan),
}

impl Scan {
    const fn new(codec: Codec) -> Self {
        match codec {
            Codec::Json | Codec::Json2 => Self::Json(json::Scan::new()),
            Codec::Samira1 => Self::Samira1(samira::Scan::new()),
            Codec::Samira2 => Self::Samira2(samira2::Scan::new()),
        }
    }
}

/// How far a scan got.
enum Progress {
    /// The message ends before this offset.
    End(usize),
    /// All bytes before this offset have been seen; it may lie behind the end of the buffer.
    More(usize),
}

impl Splitter {
    /// For a stream of requests: frames of up to [`CLIENT_FRAME_BYTES_MAX`] bytes in SAMIRA/2, of up to
    /// [`REQUEST_BYTES_MAX`] otherwise.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        let bytes_max = match codec {
            Codec::Json | Codec::Samira1 | Codec::Json2 => REQUEST_BYTES_MAX,
            Codec::Samira2 => CLIENT_FRAME_BYTES_MAX,
        };
        Self::with_bytes_max(codec, bytes_max)
    }

    /// For what a node sends in our own dialect: frames of up to [`NODE_FRAME_BYTES_MAX`] bytes in SAMIRA/2, of up to
    /// [`NODE_FRAME_JSON_BYTES_MAX`] otherwise.
    #[must_use]
    pub const fn of_node(codec: Codec) -> Self {
        let bytes_max = match codec {
            Codec::Json | Codec::Samira1 | Codec::Json2 => NODE_FRAME_JSON_BYTES_MAX,
            Codec::Samira2 => NODE_FRAME_BYTES_MAX,
        };
        Self::with_bytes_max(codec, bytes_max)
    }

    /// For frames of up to `bytes_max` bytes: in JSON from bracket to bracket, in SAMIRA/2 with the length in front.
    #[must_use]
    pub const fn with_bytes_max(codec: Codec, bytes_max: usize) -> Self {
        Self { codec, scan: Scan::new(codec), scanned: 0, bytes_max }
    }

    /// Looks at the bytes that are new since the last call and returns the length of the first frame, spacing or length
    /// in front included, or `None` if it has not ended yet.
    ///
    /// `buffer` must start where it started at the last call, except that after `Some(n)` the caller has taken
    /// exactly `n` bytes from its front.
    ///
    /// # Errors
    /// No message starts like this, or it breaks a bound. The offset counts from the start of `buffer`, and lies behind
    /// its end if a length that was announced leads out of the bound. The stream cannot be read any further: close it.
    pub fn push(&mut self, buffer: &[u8]) -> Result<Option<usize>, DecodeError> {
        // A byte past the bound is neither needed nor looked at.
        let visible = &buffer[..buffer.len().min(self.bytes_max)];
        let progress = match &mut self.scan {
            Scan::Json(scan) => scan.run(buffer, self.scanned, self.bytes_max)?,
            Scan::Samira1(scan) => scan.run(visible, self.scanned, self.bytes_max)?,
            Scan::Samira2(scan) => scan.run(visible, self.scanned, self.bytes_max)?,
        };
        Ok(match progress {
            Progress::End(end) => {
                self.reset();
                Some(end)
            }
            Progress::More(scanned) => {
                self.scanned = scanned;
                None
            }
        })
    }

    /// Whether all bytes seen since the last message are spacing, as a line feed behind a JSON message is. The
    /// caller may then take all bytes it has pushed from the buffer, and must [`Splitter::reset`].
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        match &self.scan {
            Scan::Json(scan) => scan.is_idle(),
            Scan::Samira1(scan) => scan.is_idle(),
            Scan::Samira2(scan) => scan.is_idle(),
        }
    }

    /// Starts again, with an empty buffer.
    pub fn reset(&mut self) {
        *self = Self::with_bytes_max(self.codec, self.bytes_max);
    }

    /// What the stream speaks.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }
}

const fn too_long(max: usize) -> DecodeErrorKind {
    DecodeErrorKind::LimitExceeded { what: "message size", max }
}

#[cfg(all(test, feature = "std"))]
mod tests;
