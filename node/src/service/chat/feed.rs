//! What a session has been told of what happens, and how it is told the rest.
//!
//! ```text
//!          sync asked               told, and there is more
//!   Off ──────────────▶ Reading ─────────────────────────────▶ Waiting ──sync asked──▶ Reading
//!                        ▲   │ told everything
//!                        │   ▼
//!   something that no    └── Live ──▶ messages, deletions and marks are pushed one by one
//!   single event tells
//! ```
//!
//! There is one source of truth, the rows: whatever a single event does not tell (a new conversation, a nickname, a
//! conversation that is behind), and whatever was missed, is read from behind the session's cursor, as it is for a device
//! that was away. So nothing that is applied while a read is under way needs to be kept: it is noted that there is
//! something newer, and read next. A read that began while a conversation was behind leaves its messages out; when they are
//! handed over before the read ends, what it found is void and it is done again.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::effect::{Effect, What};
use crate::storage::query::sync::SyncFrom;

/// How a session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not asked.
    Off,
    /// A read from behind the cursor is under way.
    Reading {
        /// The request it answers; none: what it finds is pushed.
        request: Option<u64>,
    },
    /// The client has been told that there is more, and asks when it is ready.
    Waiting,
    /// Everything up to the cursor is told, and what comes is pushed.
    Live,
}

/// What to do about something that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    /// Nothing.
    Nothing,
    /// Push it as an event of its own.
    Event,
    /// Read from behind the cursor, and push what is found.
    Read,
}

/// What to do behind a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// Read on, and push what is found.
    Read,
    /// Drop what it found, and do it again for whom it was done.
    Again,
}

/// Where a read begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct From {
    pub(super) cursor: u64,
    /// See [`SyncFrom::first`].
    pub(super) first: bool,
    /// See [`SyncFrom::since`].
    pub(super) since: u64,
    /// Unread messages that it may hand over; none: as many as the user's view limit says.
    pub(super) unread_left: Option<u32>,
    pub(super) behind: BTreeSet<u64>,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where to go on.
    pub(super) next: SyncFrom,
    /// There is more.
    pub(super) more: bool,
    /// The cursor asked from was not of this history: what the session held is void.
    pub(super) resync: bool,
}

/// One session's place in what happens.
#[derive(Debug)]
pub(super) struct Feed {
    phase: Phase,
    /// Everything up to this change number has been told.
    cursor: u64,
    /// Of a sync in several chunks: see [`SyncFrom`].
    since: u64,
    unread_left: Option<u32>,
    /// The highest change number that was seen go by.
    newest: u64,
    /// Conversations whose new messages are not handed over until the old ones are, each with the change number of its
    /// newest message that was seen go by.
    behind: BTreeMap<u64, u64>,
    /// The read that was to be pushed has failed, and was not begun anew.
    to_retry: bool,
    /// The read under way leaves out messages of a conversation that is not behind any more.
    is_overtaken: bool,
    /// Changes in one answer, as the client last asked; 0: as many as the node likes.
    limit: u64,
}

impl Feed {
    pub(super) const fn new() -> Feed {
        Feed {
            phase: Phase::Off,
            cursor: 0,
            since: 0,
            unread_left: None,
            newest: 0,
            behind: BTreeMap::new(),
            to_retry: false,
            is_overtaken: false,
            limit: 0,
        }
    }

    /// Where the next read begins.
    pub(super) fn from(&self) -> From {
        From {
            cursor: self.cursor,
            // What is pushed comes behind what was told.
            first: self.cursor == 0 && self.phase != Phase::Reading { request: None },
            since: self.since,
            unread_left: self.unread_left,
            behind: self.behind.keys().copied().collect(),
        }
    }

    /// How many changes the read for `request` may find.
    pub(super) fn limit(&self, request: Option<u64>) -> u64 {
        if request.is_some() { self.limit } else { 0 }
    }

    /// The client asks for up to `limit` changes behind `cursor`, and tells which conversations it knows to be behind. False
    /// while another such request is being answered.
    pub(super) fn ask(&mut self, request: u64, (cursor, limit): (u64, u64), behind: &[u64]) -> bool {
        if let Phase::Reading { request: Some(_) } = self.phase {
            return false;
        }
        // A client that takes up where it was left goes on with what was left of its view limit.
        if self.phase != Phase::Waiting || self.cursor != cursor {
            (self.since, self.unread_left) = (0, None);
        }
        self.phase = Phase::Reading { request: Some(request) };
        (self.cursor, self.limit, self.is_overtaken) = (cursor, limit, false);
        self.behind = behind.iter().map(|&conversation| (conversation, 0)).collect();
        true
    }

    /// Something was applied that this session's user may see.
    pub(super) fn applied(&mut self, effect: &Effect) -> Tell {
        self.newest = self.newest.max(effect.id);
        let conversation = match effect.what {
            What::Message { conversation, .. } => {
                if let Some(newest) = self.behind.get_mut(&conversation) {
                    *newest = effect.id;
                }
                Some(conversation)
            }
            What::Deleted { conversation, .. } | What::Marks { conversation, .. } => Some(conversation),
            _ => None,
        };
        if self.phase != Phase::Live || effect.id <= self.cursor {
            return Tell::Nothing;
        }
        match conversation {
            Some(conversation) if !self.behind.contains_key(&conversation) => {
                self.cursor = effect.id;
                Tell::Event
            }
            _ => self.read(),
        }
    }

    /// Something may have been missed.
    pub(super) fn missed(&mut self) -> Tell {
        match self.phase {
            Phase::Live => self.read(),
            // What is read anyway is read again behind what it finds.
            Phase::Reading { .. } => {
                self.newest = u64::MAX;
                Tell::Nothing
            }
            Phase::Off | Phase::Waiting => Tell::Nothing,
        }
    }

    fn read(&mut self) -> Tell {
        self.is_overtaken = false;
        self.phase = Phase::Reading { request: None };
        Tell::Read
    }

    /// A read for `request` has found something. Whether it still counts, and what to do next.
    pub(super) fn found(&mut self, request: Option<u64>, found: &Found) -> Option<Next> {
        if self.phase != (Phase::Reading { request }) {
            return None;
        }
        if std::mem::take(&mut self.is_overtaken) {
            return Some(Next::Again);
        }
        let SyncFrom { cursor, since, unread_left, behind, .. } = &found.next;
        self.cursor = *cursor;
        // Those of before that are not among them were read elsewhere.
        self.behind.retain(|conversation, _| behind.contains(conversation));
        for &conversation in behind {
            self.behind.entry(conversation).or_insert(*cursor);
        }
        (self.since, self.unread_left) = if found.more { (*since, Some(*unread_left)) } else { (0, None) };
        if found.more && request.is_some() {
            self.phase = Phase::Waiting;
            return Some(Next::Nothing);
        }
        if found.more || self.newest > self.cursor {
            // A newest number of a history that is gone, or that was only feared, is not waited for again.
            self.newest = self.cursor;
            self.read();
            return Some(Next::Read);
        }
        self.phase = Phase::Live;
        Some(Next::Nothing)
    }

    /// A read for `request` has failed. The client asks again itself if it has asked; otherwise whether to read again.
    pub(super) fn failed(&mut self, request: Option<u64>) -> bool {
        if self.phase != (Phase::Reading { request }) {
            return false;
        }
        if request.is_some() {
            self.phase = Phase::Waiting;
        }
        self.to_retry = request.is_none();
        self.to_retry
    }

    /// Whether a read that has failed is to be begun anew now.
    pub(super) fn retry(&mut self) -> bool {
        let is_due = std::mem::take(&mut self.to_retry) && self.phase == (Phase::Reading { request: None });
        self.is_overtaken &= !is_due;
        is_due
    }

    /// The unread messages of a conversation were handed over as they stood at `change`, and `left` remain. Whether there
    /// is still more: then it stays behind.
    pub(super) fn handed_over(&mut self, conversation: u64, change: u64, left: u64) -> bool {
        match self.behind.get(&conversation) {
            Some(&newest) if left > 0 || newest > change => true,
            Some(_) => {
                self.behind.remove(&conversation);
                self.is_overtaken |= matches!(self.phase, Phase::Reading { .. });
                false
            }
            None => left > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64, conversation: u64) -> Effect {
        let (text, number) = ("x".into(), id);
        let what = What::Message { conversation, number, sender: 1, time_ms: 0, text, device: 1, seq: 1 };
        Effect { id, audience: vec![1].into(), what }
    }

    fn person(id: u64) -> Effect {
        Effect { id, audience: vec![1].into(), what: What::Person { user: 2 } }
    }

    fn found(cursor: u64, more: bool, behind: &[u64]) -> Found {
        let behind = behind.iter().copied().collect();
        Found { next: SyncFrom { cursor, first: false, since: 0, unread_left: 3, behind }, more, resync: false }
    }

    /// A feed that was told everything up to `cursor`.
    fn live(cursor: u64, behind: &[u64]) -> Feed {
        let mut feed = Feed::new();
        assert!(feed.ask(1, (0, 0), behind));
        assert_eq!(feed.found(Some(1), &found(cursor, false, behind)), Some(Next::Nothing));
        feed
    }

    #[test]
    fn nothing_is_pushed_before_it_is_asked_for_and_everything_after() {
        let mut feed = Feed::new();
        assert_eq!(feed.applied(&message(5, 9)), Tell::Nothing);
        assert_eq!(feed.missed(), Tell::Nothing);
        let mut feed = live(5, &[]);
        assert_eq!(feed.applied(&message(5, 9)), Tell::Nothing, "told already");
        assert_eq!(feed.applied(&message(6, 9)), Tell::Event);
        assert_eq!(feed.from().cursor, 6);
    }

    #[test]
    fn what_is_applied_during_a_read_is_read_next() {
        let mut feed = Feed::new();
        assert!(feed.ask(1, (0, 0), &[]));
        assert!(!feed.ask(2, (0, 0), &[]), "one at a time");
        assert_eq!(feed.applied(&message(8, 9)), Tell::Nothing);
        assert_eq!(feed.found(Some(1), &found(7, false, &[])), Some(Next::Read));
        assert_eq!(feed.found(None, &found(8, false, &[])), Some(Next::Nothing));
        assert_eq!(feed.applied(&message(9, 9)), Tell::Event);
    }

    #[test]
    fn a_client_that_is_told_of_more_asks_when_it_is_ready() {
        let mut feed = Feed::new();
        assert!(feed.ask(1, (0, 0), &[]));
        assert_eq!(feed.found(Some(1), &found(4, true, &[])), Some(Next::Nothing));
        assert_eq!(feed.applied(&message(9, 9)), Tell::Nothing);
        assert!(feed.ask(2, (4, 0), &[]));
        assert_eq!(feed.from().unread_left, Some(3), "it goes on with what was left");
        assert_eq!(feed.found(Some(1), &found(9, false, &[])), None, "of another request");
        assert!(!feed.failed(Some(2)), "the client asks again itself");
        assert!(feed.ask(3, (0, 0), &[]));
        assert_eq!(feed.from().unread_left, None, "it begins anew");
    }

    #[test]
    fn what_single_events_do_not_tell_is_read() {
        let mut feed = live(5, &[9]);
        assert_eq!(feed.applied(&person(6)), Tell::Read);
        assert_eq!(feed.found(None, &found(6, false, &[9])), Some(Next::Nothing));
        assert_eq!(feed.applied(&message(7, 9)), Tell::Read, "it is behind");
        assert_eq!(feed.found(None, &found(7, false, &[9])), Some(Next::Nothing));
        assert_eq!(feed.missed(), Tell::Read);
        assert_eq!(feed.missed(), Tell::Nothing);
        assert_eq!(
            feed.found(None, &found(7, false, &[])),
            Some(Next::Read),
            "once more, for what was missed meanwhile"
        );
        assert_eq!(feed.found(None, &found(7, false, &[])), Some(Next::Nothing));
    }

    #[test]
    fn a_failed_read_is_tried_again_unless_a_client_does_that() {
        let mut feed = live(5, &[]);
        assert_eq!(feed.applied(&person(6)), Tell::Read);
        assert!(feed.failed(None));
        assert!(feed.retry() && !feed.retry());
        let mut feed = Feed::new();
        assert!(feed.ask(1, (0, 0), &[]));
        assert!(!feed.failed(Some(1)) && !feed.retry());
    }

    #[test]
    fn a_read_is_done_again_when_what_it_leaves_out_was_handed_over_meanwhile() {
        let mut feed = live(5, &[9]);
        assert_eq!(feed.applied(&person(6)), Tell::Read);
        assert!(!feed.handed_over(9, 6, 0));
        assert_eq!(feed.found(None, &found(6, false, &[9])), Some(Next::Again));
        assert_eq!((feed.from().cursor, feed.from().behind.len()), (5, 0));
        assert_eq!(feed.found(None, &found(6, false, &[])), Some(Next::Nothing));
        assert_eq!(feed.applied(&message(7, 9)), Tell::Event, "it is not behind any more");
        // The same for a client that asks for both at once.
        let mut feed = Feed::new();
        assert!(feed.ask(1, (5, 7), &[8, 9]));
        assert!(feed.handed_over(8, 6, 1), "this one stays behind");
        assert!(!feed.handed_over(9, 6, 0));
        assert_eq!(feed.found(Some(1), &found(6, true, &[8, 9])), Some(Next::Again));
        assert_eq!((feed.limit(Some(1)), feed.from().behind), (7, BTreeSet::from([8])));
        assert_eq!(feed.found(Some(1), &found(6, false, &[8])), Some(Next::Nothing));
        assert_eq!(feed.applied(&message(7, 9)), Tell::Event);
        // Handed over between two reads, nothing is void.
        assert!(!feed.handed_over(8, 7, 0));
        assert_eq!(feed.applied(&person(8)), Tell::Read);
        assert_eq!(feed.found(None, &found(8, false, &[])), Some(Next::Nothing));
    }

    #[test]
    fn what_was_read_elsewhere_is_not_behind_any_more() {
        let mut feed = live(5, &[8, 9]);
        assert_eq!(feed.applied(&message(6, 9)), Tell::Read);
        assert_eq!(feed.found(None, &found(6, false, &[8])), Some(Next::Nothing));
        assert_eq!(feed.applied(&message(7, 9)), Tell::Event);
        // One that came during the read is behind what the read has found.
        assert_eq!(feed.applied(&message(8, 8)), Tell::Read);
        assert_eq!(feed.applied(&message(9, 8)), Tell::Nothing);
        assert_eq!(feed.found(None, &found(8, false, &[])), Some(Next::Read));
        assert_eq!((feed.from().cursor, feed.from().behind.len()), (8, 0));
    }

    #[test]
    fn a_conversation_stays_behind_while_more_comes_than_was_handed_over() {
        let mut feed = live(5, &[9]);
        assert!(feed.handed_over(9, 5, 2), "some were left");
        feed.applied(&message(6, 9));
        assert!(feed.handed_over(9, 5, 0), "one came meanwhile");
        assert!(!feed.handed_over(9, 6, 0));
        assert_eq!(feed.from().behind.len(), 0);
        assert!(!feed.handed_over(7, 6, 0));
    }
}
