//! Writes exactly once, seen from the device that makes them: which numbered write to send next, and what an answer means.
//!
//! The contents of writes stay with the caller, by number, on disk before the first of them is sent. Kept here is
//! only where each of them stands:
//!
//! ```text
//!   1 ........ first ........ sent ........ next ........          first <= sent <= next
//!     answered        sent on         not sent on    not given
//!                     this connection this connection to a write
//!                     (or answered)   (or answered)
//!
//!            handle_session             refused, to be tried again            all in flight answered
//!    Held ───────────────────▶ Sending ────────────────────────────▶ Draining ──────────────────────▶ Waiting
//!     ▲                           ▲                                                                      │
//!     │                           └──────────────────────── until its time, then from `first` on ────────┘
//!     └── handle_lost, or an answer that says to log in, in any state
//! ```
//!
//! A node takes only the next number. When it refuses one write for now, it refuses those behind it too, so nothing
//! more is sent until all in flight are answered; then they are sent again from the first unanswered one on. So no number
//! is in flight twice on one connection, and an answer belongs to the one time it was sent.
//!
//! A write whose answer was lost is sent again, on the next connection, to any node: if it was applied, the answer is
//! told again. That holds for those up to the session's `last_seq` too, since only the answer tells what came of them.
//!
//! A node may refuse a write for good before it looks at its number, because the request cannot be read or is not known
//! there. The number is then still the next one, and every write behind it would wait for ever. So it is sent as a
//! [`blank`]: a write that every node knows and that does nothing but use its number up.

use crate::chat::code::Remedy;
use crate::chat::reply::{Error, Session};
use crate::chat::{Code, Request, request};
use crate::limits::{PIPELINE_MAX, RETRY_MS_MAX, WRITE_BACKOFF_MS_MAX, WRITE_BACKOFF_MS_MIN};
use crate::time::Millis;

/// The numbered writes of one device, of which up to `WINDOW` are in flight at once.
#[derive(Debug, Clone)]
pub struct Writes<const WINDOW: usize> {
    phase: Phase,
    /// The first number that is not answered.
    first: u64,
    /// The next number to look at for sending; `first <= sent <= next` and `sent <= first + WINDOW`.
    sent: u64,
    /// The next number to give to a write; 0 as long as nobody has told.
    next: u64,
    /// Where the writes from `first` on stand, `WINDOW` of them, each at its number modulo `WINDOW`.
    slots: [Slot; WINDOW],
    /// How many are in flight.
    in_flight: usize,
    /// The longest wait that a refusal of this drain asks for, milliseconds.
    asked_ms: u64,
    /// The next wait of our own, milliseconds.
    backoff_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Held,
    Sending,
    Draining,
    Waiting { until: Millis },
}

/// Where a write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Not sent on this connection.
    Unsent,
    InFlight,
    /// Refused before its number was looked at; the number is still to be used up.
    Blank,
    BlankInFlight,
    Answered,
}

/// A write to send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub seq: u64,
    /// Send [`blank`] in its place: the caller was told that the write itself is refused.
    pub blank: bool,
}

/// What an answer means for its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered, whether it was done or refused for good: forget it.
    Final,
    /// It will be sent again.
    Again,
    /// Nothing for the caller: no such write is in flight, or it was a blank.
    Nothing,
}

/// The numbers here and those the cluster knows are not of the same device's history: a data directory or the cluster
/// was restored from an old copy. Log in as a new device, and number what is unanswered anew; ask the user first, since
/// some of it may have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("writes {first} to {last} are unanswered here, and {last_seq} was the last that was applied")]
pub struct Mismatch {
    /// The first unanswered number here.
    pub first: u64,
    /// The last number given out here.
    pub last: u64,
    /// The last number that the cluster has applied.
    pub last_seq: u64,
}

impl<const WINDOW: usize> Default for Writes<WINDOW> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WINDOW: usize> Writes<WINDOW> {
    /// For a device without unanswered writes. Its next number is told by its first session.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(WINDOW > 0 && WINDOW <= PIPELINE_MAX, "a window of writes fits the open requests") };
        Self {
            phase: Phase::Held,
            first: 0,
            sent: 0,
            next: 0,
            slots: [Slot::Unsent; WINDOW],
            in_flight: 0,
            asked_ms: 0,
            backoff_ms: WRITE_BACKOFF_MS_MIN,
        }
    }

    /// For a device that has unanswered writes on disk: their numbers, rising. Numbers that are missing between them were
    /// answered before.
    ///
    /// # Errors
    /// The number that does not fit: 0 or the last of all, not above the one before, or behind a missing one that was
    /// too far from the first to have been in flight.
    pub fn restored(unanswered: impl IntoIterator<Item = u64>) -> Result<Self, u64> {
        let mut writes = Self::new();
        for seq in unanswered {
            if seq == 0 || seq == u64::MAX || seq < writes.next {
                return Err(seq);
            }
            if writes.next == 0 {
                (writes.first, writes.sent, writes.next) = (seq, seq, seq);
            }
            if seq > writes.next && seq > writes.window_end() {
                return Err(seq);
            }
            (writes.next..seq).for_each(|answered| writes.set(answered, Slot::Answered));
            writes.next = seq + 1;
        }
        Ok(writes)
    }

    // ---- getters -------------------------------------------------------------------------------------------

    /// How many numbers, from the first unanswered one on, have been given out.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.next - self.first
    }

    /// The first number without an answer; the next one to give out if there is none. 0 before the first session.
    #[must_use]
    pub const fn first_unanswered(&self) -> u64 {
        self.first
    }

    /// How many writes are in flight, at most `WINDOW`.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    // ---- inputs --------------------------------------------------------------------------------------------

    /// The device is logged in on a new connection. A session without a majority changes nothing: its `last_seq` may be
    /// old, and it takes no writes.
    ///
    /// # Errors
    /// The numbers do not fit those given out here; nothing will be sent.
    pub fn handle_session(&mut self, session: &Session<'_>) -> Result<(), Mismatch> {
        self.handle_lost();
        if session.stale {
            return Ok(());
        }
        let last_seq = session.last_seq;
        if self.first == self.next && last_seq < u64::MAX {
            // Nothing waits for an answer here: the cluster's word holds.
            (self.first, self.sent, self.next) = (last_seq + 1, last_seq + 1, last_seq + 1);
        } else if last_seq >= self.next || last_seq < self.first - 1 {
            return Err(Mismatch { first: self.first, last: self.next.saturating_sub(1), last_seq });
        }
        self.phase = Phase::Sending;
        Ok(())
    }

    /// The connection was lost, or nobody is logged in on it any more. What was in flight will be sent again.
    pub fn handle_lost(&mut self) {
        self.rewind();
        self.phase = Phase::Held;
        self.asked_ms = 0;
    }

    /// A write that was sent on this connection was answered: it was done, or why not.
    pub fn handle_answer(&mut self, seq: u64, outcome: Result<(), &Error<'_>>, now: Millis) -> Fate {
        let blank = match self.slot(seq) {
            Some(Slot::InFlight) => false,
            Some(Slot::BlankInFlight) => true,
            _ => return Fate::Nothing,
        };
        self.in_flight -= 1;
        let unsent = if blank { Slot::Blank } else { Slot::Unsent };
        let (slot, fate) = match outcome.map_err(|error| (error.code, error.code.remedy())) {
            Err((_, Remedy::Retry | Remedy::LogIn)) => (unsent, Fate::Again),
            // If not even a blank is taken there, another node may know better.
            // A blank is well formed: what is told about it as malformed is the kept answer to the write in whose place it
            // stands, which has used the number up.
            Err((Code::Malformed, _)) if blank => (Slot::Answered, Fate::Final),
            Err((code, Remedy::GiveUp)) if !uses_number(code) => (Slot::Blank, Fate::Final),
            Err((_, Remedy::GiveUp)) | Ok(()) => (Slot::Answered, Fate::Final),
        };
        self.set(seq, slot);
        if slot == Slot::Answered {
            self.backoff_ms = WRITE_BACKOFF_MS_MIN;
            self.advance();
        } else if self.phase == Phase::Sending {
            self.phase = Phase::Draining;
        }
        if let Err(error) = outcome {
            if error.code.remedy() == Remedy::LogIn {
                self.handle_lost();
            }
            self.asked_ms = self.asked_ms.max(error.retry_ms.min(RETRY_MS_MAX));
        }
        if self.phase == Phase::Draining && self.in_flight == 0 {
            let until = now.after(self.asked_ms.max(self.backoff_ms));
            self.backoff_ms = (self.backoff_ms * 2).min(WRITE_BACKOFF_MS_MAX);
            self.asked_ms = 0;
            self.rewind();
            self.phase = Phase::Waiting { until };
        }
        // The caller was told about the write itself when it was refused.
        if blank { Fate::Nothing } else { fate }
    }

    // ---- commands ------------------------------------------------------------------------------------------

    /// Gives the next number to a write. `None` before the first session with a majority: until then nobody knows it.
    pub fn assign(&mut self) -> Option<u64> {
        if self.next == 0 || self.next == u64::MAX {
            return None;
        }
        let seq = self.next;
        self.next += 1;
        Some(seq)
    }

    // ---- outputs -------------------------------------------------------------------------------------------

    /// The next write to send, which from then on counts as sent: call it only while
    /// [`super::client::Client::room`] is not 0.
    pub fn poll_send(&mut self, now: Millis) -> Option<Due> {
        if let Phase::Waiting { until } = self.phase
            && now >= until
        {
            self.phase = Phase::Sending;
        }
        if self.phase != Phase::Sending {
            return None;
        }
        while self.sent < self.next && self.sent < self.window_end() {
            let seq = self.sent;
            self.sent += 1;
            let (slot, blank) = match self.slot(seq) {
                Some(Slot::Unsent) => (Slot::InFlight, false),
                Some(Slot::Blank) => (Slot::BlankInFlight, true),
                _ => continue,
            };
            self.set(seq, slot);
            self.in_flight += 1;
            return Some(Due { seq, blank });
        }
        None
    }

    /// When [`Writes::poll_send`] will have something, if it has nothing now and nothing else happens before.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Millis> {
        match self.phase {
            Phase::Waiting { until } if self.first < self.next => Some(until),
            _ => None,
        }
    }

    // ---- inside --------------------------------------------------------------------------------------------

    /// Moves on to the first number that is not answered.
    fn advance(&mut self) {
        while self.slot(self.first) == Some(Slot::Answered) {
            // The place is that of a later number from now on.
            self.set(self.first, Slot::Unsent);
            self.first += 1;
        }
        self.sent = self.sent.max(self.first);
    }

    /// Begins again at the first unanswered write.
    fn rewind(&mut self) {
        for slot in &mut self.slots {
            *slot = match *slot {
                Slot::InFlight => Slot::Unsent,
                Slot::BlankInFlight => Slot::Blank,
                other => other,
            };
        }
        self.in_flight = 0;
        self.sent = self.first;
    }

    const fn window_end(&self) -> u64 {
        self.first.saturating_add(WINDOW as u64)
    }

    /// Where a write of the window stands.
    fn slot(&self, seq: u64) -> Option<Slot> {
        (self.first <= seq && seq < self.next && seq < self.window_end()).then(|| self.slots[Self::place(seq)])
    }

    fn set(&mut self, seq: u64, slot: Slot) {
        self.slots[Self::place(seq)] = slot;
    }

    const fn place(seq: u64) -> usize {
        (seq % WINDOW as u64) as usize
    }
}

/// The request that does nothing but use up its number: it empties nothing, in no conversation.
#[must_use]
pub fn blank(seq: u64) -> Request<'static> {
    Request::Clear(request::Clear { conversation: 0, upto: 0, seq })
}

/// Whether a final refusal comes from the rules, which look at the number first, and not from the door before them.
#[must_use]
pub const fn uses_number(code: Code) -> bool {
    !matches!(code, Code::Malformed | Code::UnknownRequest | Code::Version | Code::PlaintextRefused | Code::OutOfPlace)
}

#[cfg(all(test, feature = "std"))]
mod tests;
