//! The end of a SAMIRA/1 dictionary: counts of items still to come, one per open container.

use super::{Progress, too_long};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;
use crate::samira::tag;

/// An array or dictionary that has not ended.
#[derive(Debug, Clone, Copy)]
struct Open {
    dictionary: bool,
    /// Items or pairs to come.
    left: u32,
}

/// Bytes that each announced item of an array and pair of a dictionary takes at least, so that absurd counts are
/// refused at once.
const ITEM_BYTES_MIN: u64 = 1;
const PAIR_BYTES_MIN: u64 = 3;

#[derive(Debug, Clone)]
pub(super) struct Scan {
    open: heapless::Vec<Open, DEPTH_MAX>,
    /// In a dictionary: the key has been seen, its value comes next.
    value_next: bool,
    /// The first byte has been seen.
    begun: bool,
    /// The end is known, though the last bytes may not have arrived.
    done: bool,
}

impl Scan {
    pub(super) const fn new() -> Self {
        Self { open: heapless::Vec::new(), value_next: false, begun: false, done: false }
    }

    pub(super) const fn is_idle(&self) -> bool {
        !self.begun
    }

    /// Looks at `buffer[from..]`. Content is jumped over, so that the offset that comes back may lie behind the end of
    /// the buffer. The head of a value, at most five bytes, is looked at once it is there as a whole.
    pub(super) fn run(&mut self, buffer: &[u8], from: usize, bytes_max: usize) -> Result<Progress, DecodeError> {
        let mut at = from;
        while !self.done {
            let fail = |kind| DecodeError { at, kind };
            let rest = buffer.get(at..).unwrap_or_default();
            let room = bytes_max - at;
            if room == 0 {
                return Err(fail(too_long(bytes_max)));
            }
            match self.step(rest, room as u64).map_err(fail)? {
                Step::Passed(len) if len > room as u64 => return Err(fail(too_long(bytes_max))),
                Step::Passed(len) => at += usize::try_from(len).expect("len <= room, which is a usize"),
                Step::Short(head) if head > room => return Err(fail(too_long(bytes_max))),
                Step::Short(_) => return Ok(Progress::More(at)),
            }
        }
        Ok(if at <= buffer.len() { Progress::End(at) } else { Progress::More(at) })
    }

    /// Passes one key, one scalar or the head of one container at the front of `rest`.
    fn step(&mut self, rest: &[u8], room: u64) -> Result<Step, DecodeErrorKind> {
        let Some(&first) = rest.first() else { return Ok(Step::Short(1)) };
        let inside = self.open.last().copied();
        if let Some(Open { dictionary: true, .. }) = inside
            && !self.value_next
        {
            let Some(len) = rest.first_chunk() else { return Ok(Step::Short(2)) };
            self.value_next = true;
            return Ok(Step::Passed(2 + u64::from(u16::from_be_bytes(*len))));
        }
        self.begun = true;
        if inside.is_none() && first != tag::DICTIONARY {
            return Err(DecodeErrorKind::WrongType("a dictionary"));
        }
        let number = || rest[1..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let len = match first {
            tag::INTEGER => 5,
            tag::FLOAT => 9,
            tag::BOOLEAN => 2,
            tag::NULL => 1,
            tag::TEXT => match number() {
                Some(len) => 5 + u64::from(len),
                None => return Ok(Step::Short(5)),
            },
            tag::ARRAY | tag::DICTIONARY => match number() {
                Some(count) => {
                    self.enter(first == tag::DICTIONARY, count, room)?;
                    5
                }
                None => return Ok(Step::Short(5)),
            },
            _ => return Err(DecodeErrorKind::Malformed("tag")),
        };
        if !matches!(first, tag::ARRAY | tag::DICTIONARY) {
            self.passed_value();
        }
        Ok(Step::Passed(len))
    }

    fn enter(&mut self, dictionary: bool, count: u32, room: u64) -> Result<(), DecodeErrorKind> {
        let item_bytes_min = if dictionary { PAIR_BYTES_MIN } else { ITEM_BYTES_MIN };
        if u64::from(count) * item_bytes_min > room {
            return Err(DecodeErrorKind::LimitExceeded { what: "item count", max: (room / item_bytes_min) as usize });
        }
        self.open
            .push(Open { dictionary, left: count })
            .map_err(|_| DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX })?;
        self.value_next = false;
        if count == 0 {
            self.leave();
        }
        Ok(())
    }

    /// The innermost container is full: it was itself a value.
    fn leave(&mut self) {
        self.open.pop();
        self.passed_value();
    }

    /// One more value of the innermost container has been passed, which may fill the containers around it.
    fn passed_value(&mut self) {
        self.value_next = false;
        while let Some(innermost) = self.open.last_mut() {
            innermost.left -= 1;
            if innermost.left > 0 {
                return;
            }
            self.open.pop();
        }
        self.done = true;
    }
}

/// What came of one look at the front of the unseen bytes.
enum Step {
    /// A key, scalar or head of this many bytes, which need not all have arrived.
    Passed(u64),
    /// This many bytes must be there before anything can be said.
    Short(usize),
}
