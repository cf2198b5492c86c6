//! The end of a SAMIRA/2 frame: a length in front says it.

use super::{Progress, too_long};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::varint::Varint;

#[derive(Debug, Clone)]
pub(super) struct Scan {
    length: Varint,
    /// The first byte has been seen.
    begun: bool,
    /// Where the frame ends, once its length is known.
    end: Option<usize>,
}

impl Scan {
    pub(super) const fn new() -> Self {
        Self { length: Varint::new(), begun: false, end: None }
    }

    pub(super) const fn is_idle(&self) -> bool {
        !self.begun
    }

    /// Looks at `buffer[from..]`, of which only the length is looked at. A frame that would end behind `bytes_max` is
    /// refused as soon as its length says so.
    pub(super) fn run(&mut self, buffer: &[u8], from: usize, bytes_max: usize) -> Result<Progress, DecodeError> {
        let mut at = from;
        let end = loop {
            if let Some(end) = self.end {
                break end;
            }
            let fail = |kind| DecodeError { at, kind };
            if at == bytes_max {
                return Err(fail(too_long(bytes_max)));
            }
            let Some(&byte) = buffer.get(at) else { return Ok(Progress::More(at)) };
            self.begun = true;
            let length = self.length.push(byte).map_err(|_| fail(DecodeErrorKind::Malformed("frame length")))?;
            if let Some(length) = length {
                let room = bytes_max - (at + 1);
                let length = usize::try_from(length).ok().filter(|length| *length <= room);
                self.end = Some(at + 1 + length.ok_or(fail(too_long(bytes_max)))?);
            }
            at += 1;
        };
        Ok(if end <= buffer.len() { Progress::End(end) } else { Progress::More(end) })
    }
}
