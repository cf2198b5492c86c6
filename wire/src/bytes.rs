//! Where encoders write to: a caller's slice, a growing vector, or nowhere (to learn a size beforehand).

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::error::EncodeError;

/// A place for encoded bytes. Positions count from the start of what this encoder wrote.
pub(crate) trait Sink {
    /// Appends `head`, and then `tail`.
    fn write_both<const N: usize>(&mut self, head: [u8; N], tail: &[u8]) -> Result<(), EncodeError>;

    /// Appends `bytes`.
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.write_both([], bytes)
    }

    /// How many bytes have been written.
    fn position(&self) -> usize;

    /// Overwrites bytes written before: `at + bytes.len() <= position()`. SAMIRA's counts stand in front of what
    /// they count and are filled in once it is known.
    fn patch(&mut self, at: usize, bytes: &[u8]);

    /// Puts `bytes` where `len` bytes were written before, and moves what stands behind them:
    /// `at + len <= position()`. SAMIRA/2's heads are as short as they can be, so that one that turns out differently
    /// may have another length.
    fn replace(&mut self, at: usize, len: usize, bytes: &[u8]) -> Result<(), EncodeError>;
}

/// Fills `room`, which has room for exactly both.
#[inline]
fn put<const N: usize>(room: &mut [u8], head: [u8; N], tail: &[u8]) {
    let (front, back) = room.split_at_mut(N);
    front.copy_from_slice(&head);
    back.copy_from_slice(tail);
}

/// Writes into a slice; what is not written stays as it was.
#[derive(Debug)]
pub(crate) struct SliceSink<'a> {
    out: &'a mut [u8],
    /// `written <= out.len()`
    written: usize,
}

impl<'a> SliceSink<'a> {
    pub(crate) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, written: 0 }
    }
}

impl Sink for SliceSink<'_> {
    #[inline]
    fn write_both<const N: usize>(&mut self, head: [u8; N], tail: &[u8]) -> Result<(), EncodeError> {
        let at = self.written;
        let end = at + N + tail.len();
        put(self.out.get_mut(at..end).ok_or(EncodeError::BufferFull)?, head, tail);
        self.written = end;
        Ok(())
    }

    #[inline]
    fn position(&self) -> usize {
        self.written
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.out[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn replace(&mut self, at: usize, len: usize, bytes: &[u8]) -> Result<(), EncodeError> {
        let written = self.written - len + bytes.len();
        if written > self.out.len() {
            return Err(EncodeError::BufferFull);
        }
        self.out.copy_within(at + len..self.written, at + bytes.len());
        self.written = written;
        self.patch(at, bytes);
        Ok(())
    }
}

/// Appends to a vector, behind what it already holds.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub(crate) struct VecSink<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

#[cfg(feature = "alloc")]
impl<'a> VecSink<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }
}

#[cfg(feature = "alloc")]
impl Sink for VecSink<'_> {
    #[inline]
    fn write_both<const N: usize>(&mut self, head: [u8; N], tail: &[u8]) -> Result<(), EncodeError> {
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(tail);
        Ok(())
    }

    #[inline]
    fn position(&self) -> usize {
        self.out.len() - self.start
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        let at = self.start + at;
        self.out[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn replace(&mut self, at: usize, len: usize, bytes: &[u8]) -> Result<(), EncodeError> {
        let at = self.start + at;
        self.out.splice(at..at + len, bytes.iter().copied());
        Ok(())
    }
}

/// Counts and forgets.
#[derive(Debug, Default)]
pub(crate) struct CountSink {
    count: usize,
}

impl Sink for CountSink {
    #[inline]
    fn write_both<const N: usize>(&mut self, _: [u8; N], tail: &[u8]) -> Result<(), EncodeError> {
        self.count += N + tail.len();
        Ok(())
    }

    #[inline]
    fn position(&self) -> usize {
        self.count
    }

    fn patch(&mut self, _: usize, _: &[u8]) {}

    fn replace(&mut self, _: usize, len: usize, bytes: &[u8]) -> Result<(), EncodeError> {
        self.count = self.count - len + bytes.len();
        Ok(())
    }
}
