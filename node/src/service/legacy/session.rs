//! One client connection, as the service sees it: who is logged in on it, what it was shown, and what it still waits
//! for. Pure bookkeeping; an idle connection owns no allocation but its place in the table.
//!
//! Replies leave in the order of their requests. Plain writes that follow each other are under way together; everything
//! else (a read, a login) waits until the writes before it are answered, so that it sees them, and what follows waits
//! for it:
//!
//! ```text
//!            write                  job, no write open             job done
//!   Free ─────────────▶ Free ──────────────────────────▶ Busy ──────────────────▶ Free
//!                         │ job, writes open                ▲
//!                         └──────────▶ Parked ──────────────┘ last write answered
//! ```
//!
//! While Parked or Busy, requests are kept undecoded, up to a bound in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use wire::DecodeError;
use wire::codec::Codec;

use super::job::Job;
use super::pages::Pages;
use crate::limits::SESSION_QUEUE_BYTES_MAX;

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    /// The account's id.
    pub(super) id: u64,
    /// Its name.
    pub(super) name: Arc<str>,
    /// Logged in without a quorum, and none was heard since: such a session may only read, for what this node knows of
    /// the account may be old.
    pub(super) read_only: bool,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing has been said yet.
    Hello,
    /// Requests are answered.
    Open,
    /// The last reply is on its way; nothing that comes is looked at any more.
    Ending,
}

/// A request that has to wait for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiting {
    /// As it came.
    Frame(Vec<u8>),
    /// It came when there was no room for it.
    Crowded,
    /// Bytes that are no request; nothing follows them.
    Malformed(DecodeError),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) codec: Codec,
    pub(super) stage: Stage,
    pub(super) who: Option<Who>,
    /// Writes that are under way.
    pub(super) writes: usize,
    /// A job that waits for them.
    pub(super) parked: Option<(u64, Job)>,
    /// A job is under way.
    pub(super) busy: bool,
    /// Held while a password is looked at, see [`Passwords::asked_by`](crate::service::passwords::Passwords::asked_by).
    pub(super) asking: Option<Arc<()>>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Replies from number `first_reply` on; `None` while a reply is not there yet.
    replies: VecDeque<Option<Vec<u8>>>,
    first_reply: u64,
    /// What its chat pages show.
    pub(super) pages: Pages,
}

impl Session {
    pub(super) fn new(codec: Codec) -> Session {
        Session {
            codec,
            stage: Stage::Hello,
            who: None,
            writes: 0,
            parked: None,
            busy: false,
            asking: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            replies: VecDeque::new(),
            first_reply: 0,
            pages: Pages::default(),
        }
    }

    // ---- requests that wait ----

    /// Whether a request may be begun now.
    pub(super) fn is_free(&self) -> bool {
        self.parked.is_none() && !self.busy
    }

    /// Whether requests wait already, which a new one may not overtake.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Keeps a request for later. `room` is what all connections together may still keep. Returns the bytes it took.
    pub(super) fn keep(&mut self, frame: &[u8], room: usize) -> usize {
        let allowed = SESSION_QUEUE_BYTES_MAX.saturating_sub(self.waiting_bytes).min(room);
        if frame.len() > allowed {
            self.waiting.push_back(Waiting::Crowded);
            return 0;
        }
        self.waiting.push_back(Waiting::Frame(frame.to_vec()));
        self.waiting_bytes += frame.len();
        frame.len()
    }

    /// Keeps the end of the connection's input for later.
    pub(super) fn keep_malformed(&mut self, error: DecodeError) {
        self.waiting.push_back(Waiting::Malformed(error));
    }

    /// The next request, if one may be begun now.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        if !self.is_free() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        if let Waiting::Frame(frame) = &next {
            self.waiting_bytes -= frame.len();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(next)
    }

    /// Bytes that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    // ---- replies in order ----

    /// Reserves the next reply and returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.replies.push_back(None);
        self.first_reply + self.replies.len() as u64 - 1
    }

    /// Fills in a reply.
    pub(super) fn finish(&mut self, number: u64, reply: Vec<u8>) {
        let place = number.checked_sub(self.first_reply).and_then(|place| usize::try_from(place).ok());
        if let Some(slot) = place.and_then(|place| self.replies.get_mut(place)) {
            *slot = Some(reply);
        }
    }

    /// The next reply whose turn it is, and whether it is the connection's last.
    pub(super) fn ready(&mut self) -> Option<(Vec<u8>, bool)> {
        let reply = self.replies.front_mut()?.take()?;
        self.replies.pop_front();
        self.first_reply += 1;
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
        Some((reply, self.stage == Stage::Ending && self.replies.is_empty()))
    }

    // ---- identity ----

    /// Somebody else (or nobody) acts from now on: what was shown to the one before is none of its business.
    pub(super) fn change_identity(&mut self, who: Option<Who>) {
        if self.who.as_ref().map(|who| who.id) != who.as_ref().map(|who| who.id) {
            self.pages = Pages::default();
        }
        self.who = who;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Clock;
    use crate::service::legacy::page::Page;

    #[test]
    fn replies_leave_in_request_order() {
        let mut session = Session::new(Codec::Json);
        let (first, second, third) = (session.begin(), session.begin(), session.begin());
        session.finish(second, vec![2]);
        assert_eq!(session.ready(), None);
        session.finish(first, vec![1]);
        assert_eq!(session.ready(), Some((vec![1], false)));
        assert_eq!(session.ready(), Some((vec![2], false)));
        assert_eq!(session.ready(), None);
        session.stage = Stage::Ending;
        session.finish(third, vec![3]);
        assert_eq!(session.ready(), Some((vec![3], true)));
        session.finish(third, vec![9]);
        assert_eq!(session.ready(), None);
        let next = session.begin();
        session.finish(next, vec![4]);
        assert_eq!(session.ready(), Some((vec![4], true)));
    }

    #[test]
    fn what_waits_is_bounded_and_keeps_its_place() {
        let mut session = Session::new(Codec::Json);
        session.busy = true;
        assert_eq!(session.keep(b"one", 100), 3);
        assert_eq!(session.keep(b"four", 3), 0);
        assert_eq!(session.keep(&vec![0; SESSION_QUEUE_BYTES_MAX], usize::MAX), 0);
        assert_eq!(session.keep(b"two", 100), 3);
        assert_eq!(session.next(), None);
        session.busy = false;
        assert_eq!(session.waiting_bytes(), 6);
        assert_eq!(session.next(), Some(Waiting::Frame(b"one".to_vec())));
        assert_eq!(session.next(), Some(Waiting::Crowded));
        assert_eq!(session.next(), Some(Waiting::Crowded));
        assert_eq!(session.next(), Some(Waiting::Frame(b"two".to_vec())));
        assert_eq!((session.next(), session.waiting_bytes()), (None, 0));
    }

    #[test]
    fn what_was_shown_to_one_is_not_known_to_the_next() {
        let mut session = Session::new(Codec::Json);
        let (shown, now) = (Page::opened(1, vec![1]), Clock.monotonic());
        let who = |id| Some(Who { id, name: "x".into(), read_only: false });
        session.change_identity(who(1));
        session.pages.remember("0", shown.clone(), now);
        session.change_identity(who(1));
        assert_eq!(session.pages.page("0"), Some(&shown));
        session.change_identity(who(2));
        assert_eq!(session.pages.page("0"), None);
    }
}
