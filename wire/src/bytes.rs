//! Where encoders write to: a caller's slice, a growing vector, or nowhere (to learn a size beforehand).

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::error::EncodeError;

/// A place for encoded bytes. Positions count from the start of what this encoder wrote.
pub(crate) trait Sink {
    /// Appends `bytes`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError>;

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
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let rest = &mut self.out[self.written..];
        rest.get_mut(..bytes.len()).ok_or(EncodeError::BufferFull)?.copy_from_slice(bytes);
        self.written += bytes.len();
        Ok(())
    }

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
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

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
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.count += bytes.len();
        Ok(())
    }

    fn position(&self) -> usize {
        self.count
    }

    fn patch(&mut self, _: usize, _: &[u8]) {}

    fn replace(&mut self, _: usize, len: usize, bytes: &[u8]) -> Result<(), EncodeError> {
        self.count = self.count - len + bytes.len();
        Ok(())
    }
}
