//! What is known of the line to a peer: how long it is, how much it takes, and when the other side last followed.
//!
//! It outlives the connections, so that a new one begins with what the last one learnt.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use wire::replication::rpc::Vote;

use crate::limits::{APPEND_BYTES_MAX, APPEND_BYTES_MIN, APPEND_BYTES_START, APPEND_TIME};

/// See the module.
#[derive(Debug)]
pub struct Line {
    round_trip_us: AtomicU64,
    append_bytes: Mutex<usize>,
    heard: watch::Sender<Option<Heard>>,
    /// The newest of those who send entries over it: whoever is older has been replaced.
    sender: AtomicU64,
    slow: AtomicBool,
}

/// The last word of a peer about whom it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its vote.
    pub vote: Vote,
    /// When it came.
    pub at: Instant,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            round_trip_us: AtomicU64::new(0),
            append_bytes: Mutex::new(APPEND_BYTES_START),
            heard: watch::Sender::new(None),
            sender: AtomicU64::new(0),
            slow: AtomicBool::new(false),
        }
    }
}

impl Line {
    /// The round trip as last measured; zero before that.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us.load(Relaxed))
    }

    pub(super) fn measured(&self, round_trip: Duration) {
        self.round_trip_us.store(u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Notes whether it is slow; true if it was not until now.
    pub fn is_slow_for_the_first_time(&self, slow: bool) -> bool {
        !self.slow.swap(slow, Relaxed) && slow
    }

    /// Bytes of entries that the next append should have: what the line takes in [`APPEND_TIME`], or in two round trips where
    /// those are longer.
    pub fn append_bytes(&self) -> usize {
        *self.lock()
    }

    /// An append with so many bytes of entries was answered after this time.
    pub fn took(&self, bytes: usize, time: Duration) {
        let round_trip = self.round_trip();
        let goal = APPEND_TIME.max(2 * round_trip);
        let time = time.saturating_sub(round_trip);
        let mut append_bytes = self.lock();
        if time > goal {
            let part = goal.as_secs_f64() / time.as_secs_f64();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an append is far below 2^53 bytes, and a part of it smaller"
            )]
            let fits = (bytes as f64 * part) as usize;
            // Answers are late for other reasons too, so one of them takes no more than three quarters.
            *append_bytes = fits.clamp(*append_bytes / 4, *append_bytes).max(APPEND_BYTES_MIN);
        } else if time < goal / 2 && bytes > *append_bytes / 2 {
            *append_bytes = (*append_bytes * 2).min(APPEND_BYTES_MAX);
        }
    }

    /// An append was not answered in time.
    pub fn took_too_long(&self) {
        let mut append_bytes = self.lock();
        *append_bytes = (*append_bytes / 2).max(APPEND_BYTES_MIN);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.append_bytes.lock().expect("nobody panics while holding this lock")
    }

    /// The peer has said just now whom it follows.
    pub fn heard(&self, vote: Vote) {
        self.heard.send_replace(Some(Heard { vote, at: Instant::now() }));
    }

    /// Its last word about that.
    pub fn last_heard(&self) -> Option<Heard> {
        *self.heard.borrow()
    }

    /// Sends entries over it from now on, as number `sender`. Numbers grow with time.
    pub fn send_as(&self, sender: u64) {
        self.sender.fetch_max(sender, Relaxed);
    }

    /// Whether somebody who came after `sender` sends entries over it.
    pub fn is_sent_over_by_a_newer(&self, sender: u64) -> bool {
        self.sender.load(Relaxed) > sender
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_is_as_large_as_the_line_takes_in_a_fraction_of_a_second() {
        let line = Line::default();
        // One megabit: 125 bytes in a millisecond.
        for _ in 0..10 {
            let bytes = line.append_bytes();
            line.took(bytes, Duration::from_millis(u64::try_from(bytes).unwrap() / 125));
        }
        assert!((16 << 10..=40 << 10).contains(&line.append_bytes()), "{}", line.append_bytes());
        // The same with a long way: more at a time, because each has to wait for its answer.
        line.measured(Duration::from_millis(300));
        for _ in 0..10 {
            let bytes = line.append_bytes();
            line.took(bytes, Duration::from_millis(300 + u64::try_from(bytes).unwrap() / 125));
        }
        assert!((40 << 10..=80 << 10).contains(&line.append_bytes()), "{}", line.append_bytes());
        line.took_too_long();
        assert!(line.append_bytes() <= 40 << 10);
        // A wide line again.
        line.measured(Duration::from_millis(1));
        for _ in 0..10 {
            line.took(line.append_bytes(), Duration::from_millis(2));
        }
        assert_eq!(line.append_bytes(), APPEND_BYTES_MAX);
        // Small appends say nothing about what it takes.
        line.took_too_long();
        let before = line.append_bytes();
        line.took(100, Duration::from_millis(2));
        assert_eq!(line.append_bytes(), before);
    }

    #[test]
    fn one_late_answer_does_not_make_appends_tiny() {
        let line = Line::default();
        let before = line.append_bytes();
        line.took(100, Duration::from_secs(2));
        assert_eq!(line.append_bytes(), before / 4);
        for _ in 0..20 {
            line.took_too_long();
        }
        assert_eq!(line.append_bytes(), APPEND_BYTES_MIN);
    }

    #[test]
    fn whoever_sends_later_replaces_the_earlier() {
        let line = Line::default();
        line.send_as(3);
        assert!(!line.is_sent_over_by_a_newer(3));
        line.send_as(5);
        assert!(line.is_sent_over_by_a_newer(3));
        line.send_as(3);
        assert!(!line.is_sent_over_by_a_newer(5));
    }
}
