//! Marks are frequent and each replaces the one before, so the marks of a session are gathered: at most one write is under
//! way, and one begins at most every [`MARKS_PAUSE`]. Requests are answered once their marks are stored.

use std::collections::BTreeMap;
use std::mem;
use std::time::Instant;

use wire::chat::item::Mark;
use wire::limits::ITEMS_PER_REQUEST_MAX;
use wire::replication::command::Marks;

use crate::limits::MARKS_PAUSE;

/// The marks of one session that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By conversation: delivered, read.
    marks: BTreeMap<u64, (u64, u64)>,
    /// Requests that are answered when these are stored.
    waiting: Vec<u64>,
    /// Requests that are answered when the write under way is.
    under_way: Option<Vec<u64>>,
    /// No write begins earlier.
    not_before: Option<Instant>,
}

/// A write that is to begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) marks: Vec<Marks>,
}

impl Gathered {
    /// Takes in the marks of a request. False if they do not fit beside what waits already.
    pub(super) fn add(&mut self, id: u64, marks: &[Mark]) -> bool {
        let new = marks.iter().filter(|mark| !self.marks.contains_key(&mark.conversation)).count();
        if self.marks.len() + new > ITEMS_PER_REQUEST_MAX {
            return false;
        }
        for mark in marks {
            let (delivered, read) = self.marks.entry(mark.conversation).or_default();
            *delivered = mark.delivered.max(*delivered);
            *read = mark.read.max(*read);
        }
        self.waiting.push(id);
        true
    }

    /// When [`Gathered::take_due`] has something, if nothing else happens.
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        let may_begin = self.under_way.is_none() && !self.waiting.is_empty();
        may_begin.then(|| self.not_before.unwrap_or(now))
    }

    /// The write that may begin now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if self.due_at(now).is_none_or(|at| at > now) {
            return None;
        }
        self.not_before = Some(now + MARKS_PAUSE);
        self.under_way = Some(mem::take(&mut self.waiting));
        let marks = mem::take(&mut self.marks);
        let marks = marks.into_iter().map(|(conversation, (delivered, read))| Marks { conversation, delivered, read });
        Some(Due { marks: marks.collect() })
    }

    /// Gives up what is not stored: the requests that nobody answers any more.
    pub(super) fn abandon(&mut self) -> Vec<u64> {
        let mut ids = self.written();
        ids.append(&mut self.waiting);
        ids
    }

    /// The write under way has ended: the requests to answer.
    pub(super) fn written(&mut self) -> Vec<u64> {
        self.under_way.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Clock;

    fn mark(conversation: u64, delivered: u64, read: u64) -> Mark {
        Mark { conversation, user: 0, delivered, read }
    }

    fn marks(of: &[(u64, u64, u64)]) -> Due {
        Due {
            marks: of.iter().map(|&(conversation, delivered, read)| Marks { conversation, delivered, read }).collect(),
        }
    }

    #[test]
    fn marks_are_gathered_while_a_write_is_under_way_and_for_a_while_after_it() {
        let now = Clock.monotonic();
        let mut gathered = Gathered::default();
        assert_eq!((gathered.due_at(now), gathered.take_due(now)), (None, None));

        assert!(gathered.add(1, &[mark(5, 3, 0)]));
        assert_eq!(gathered.take_due(now), Some(marks(&[(5, 3, 0)])));
        assert!(gathered.add(2, &[mark(5, 4, 0), mark(6, 0, 9)]));
        assert!(gathered.add(3, &[mark(5, 0, 2)]));
        assert_eq!(gathered.take_due(now + MARKS_PAUSE), None, "one is under way");
        assert_eq!(gathered.written(), [1]);
        assert_eq!(gathered.due_at(now), Some(now + MARKS_PAUSE));
        assert_eq!(gathered.take_due(now), None, "too early");
        assert_eq!(gathered.take_due(now + MARKS_PAUSE), Some(marks(&[(5, 4, 2), (6, 0, 9)])));
        assert_eq!(gathered.written(), [2, 3]);
        assert_eq!(gathered.due_at(now), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut gathered = Gathered::default();
        let many: Vec<Mark> = (0..ITEMS_PER_REQUEST_MAX as u64).map(|conversation| mark(conversation, 1, 1)).collect();
        assert!(gathered.add(1, &many));
        assert!(gathered.add(2, &[mark(0, 2, 2)]));
        assert!(!gathered.add(3, &[mark(1 << 40, 1, 1)]));
    }
}
