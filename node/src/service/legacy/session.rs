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
use std::time::Instant;

use wire::DecodeError;
use wire::codec::Codec;

use super::job::Job;
use super::page::Page;
use crate::limits::{PAGE_SILENCE_MAX, PAGES_KEPT_MAX, SESSION_QUEUE_BYTES_MAX};

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
    /// The pages that asked last, newest last.
    pages: Vec<Known>,
}

/// A page, and whether it is still open.
#[derive(Debug)]
struct Known {
    chat: Box<str>,
    page: Page,
    state: PageState,
}

/// As far as the server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageState {
    /// It was last answered then.
    Answered(Instant),
    /// It waits for a write on its connection, however long that takes.
    Waiting,
    Closed,
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
            pages: Vec::new(),
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

    // ---- pages ----

    /// Remembers what a page shows now.
    pub(super) fn remember(&mut self, chat: &str, page: Page, now: Instant) {
        self.pages.retain(|known| *known.chat != *chat);
        if self.pages.len() >= PAGES_KEPT_MAX {
            self.pages.remove(0);
        }
        self.pages.push(Known { chat: chat.into(), page, state: PageState::Answered(now) });
    }

    /// What the page of this chat was shown last, whether or not it is still open.
    pub(super) fn page(&self, chat: &str) -> Option<&Page> {
        self.pages.iter().find(|known| *known.chat == *chat).map(|known| &known.page)
    }

    /// The page of this chat, if it is still open.
    pub(super) fn open_page(&self, chat: &str, now: Instant) -> Option<Page> {
        self.pages.iter().find(|known| *known.chat == *chat && known.is_open(now)).map(|known| known.page.clone())
    }

    /// The next to ask for this chat is a new page.
    pub(super) fn close_page(&mut self, chat: &str) {
        if let Some(known) = self.pages.iter_mut().find(|known| *known.chat == *chat) {
            known.state = PageState::Closed;
        }
    }

    /// A page asks to delete these messages.
    pub(super) fn ask_deletion(&mut self, conversation: u64, numbers: &[u64]) {
        for known in self.pages.iter_mut().filter(|known| known.page.conversation == conversation) {
            known.page.ask_deletion(numbers);
        }
    }

    /// Whether there is any page whose state could change.
    pub(super) fn has_pages(&self) -> bool {
        !self.pages.is_empty()
    }

    /// A write begins. The original's client does nothing else until it is answered.
    pub(super) fn pages_wait(&mut self, now: Instant) {
        for known in self.pages.iter_mut().filter(|known| known.is_open(now)) {
            known.state = PageState::Waiting;
        }
    }

    /// The last write was answered.
    pub(super) fn pages_go_on(&mut self, now: Instant) {
        for known in self.pages.iter_mut().filter(|known| known.state == PageState::Waiting) {
            known.state = PageState::Answered(now);
        }
    }

    // ---- identity ----

    /// Somebody else (or nobody) acts from now on: what was shown to the one before is none of its business.
    pub(super) fn change_identity(&mut self, who: Option<Who>) {
        if self.who.as_ref().map(|who| who.id) != who.as_ref().map(|who| who.id) {
            self.pages = Vec::new();
        }
        self.who = who;
    }
}

impl Known {
    fn is_open(&self, now: Instant) -> bool {
        match self.state {
            PageState::Answered(at) => now.saturating_duration_since(at) <= PAGE_SILENCE_MAX,
            PageState::Waiting => true,
            PageState::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::env::Clock;

    fn page(conversation: u64) -> Page {
        Page::opened(conversation, vec![1, 2])
    }

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
    fn pages_are_remembered_up_to_a_bound() {
        let mut session = Session::new(Codec::Json);
        let now = Clock.monotonic();
        for chat in 0..PAGES_KEPT_MAX as u64 {
            session.remember(&chat.to_string(), page(chat), now);
        }
        session.remember("0", page(100), now);
        session.remember("new", page(200), now);
        assert_eq!(session.page("0"), Some(&page(100)));
        assert_eq!(session.page("1"), None);
        assert_eq!(session.page("2"), Some(&page(2)));

        let who = |id| Some(Who { id, name: "x".into(), read_only: false });
        session.change_identity(who(1));
        assert_eq!(session.page("0"), None);
        session.remember("0", page(1), now);
        session.change_identity(who(1));
        assert_eq!(session.page("0"), Some(&page(1)));
    }

    #[test]
    fn a_page_is_open_until_it_falls_silent() {
        let mut session = Session::new(Codec::Json);
        let start = Clock.monotonic();
        let after = |seconds| start + Duration::from_secs(seconds);
        session.remember("a", page(1), start);
        assert_eq!(session.open_page("a", after(5)), Some(page(1)));
        assert_eq!(session.open_page("a", after(6)), None);
        assert_eq!(session.page("a"), Some(&page(1)), "its places still count");

        // A write that takes long is no silence; but a page that was closed before it stays closed.
        session.remember("b", page(2), after(3));
        session.pages_wait(after(7));
        assert_eq!(session.open_page("b", after(17)), Some(page(2)));
        session.pages_go_on(after(17));
        assert_eq!(session.open_page("b", after(18)), Some(page(2)));
        assert_eq!(session.open_page("a", after(18)), None);
        session.close_page("b");
        assert_eq!(session.open_page("b", after(18)), None);
    }
}
