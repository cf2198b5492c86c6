//! Whether this process stood still: stopped by a signal, or on a machine that was. What lay in its sockets meanwhile may
//! be older than anybody waits, and nothing tells how old.

use std::time::Instant;

use crate::limits::STANDSTILL_MIN;

/// When this process last went on after it had stood still.
#[derive(Debug)]
pub(super) struct Standstill {
    noted: Instant,
    ended: Option<Instant>,
}

impl Standstill {
    pub(super) fn new(now: Instant) -> Standstill {
        Standstill { noted: now, ended: None }
    }

    /// To be called more often than every [`STANDSTILL_MIN`], and before anything that was read is looked at.
    pub(super) fn note(&mut self, now: Instant) {
        if now.saturating_duration_since(self.noted) >= STANDSTILL_MIN {
            self.ended = Some(now);
        }
        self.noted = now;
    }

    /// Whether this process has stood still since a moment.
    pub(super) fn since(&self, moment: Instant) -> bool {
        self.ended.is_some_and(|ended| moment < ended)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::env::Clock;

    #[test]
    fn what_began_before_the_standstill_ended_is_told_apart() {
        let start = Clock.monotonic();
        let at = |ms| start + Duration::from_millis(ms);
        let min = u64::try_from(STANDSTILL_MIN.as_millis()).unwrap();
        let mut standstill = Standstill::new(start);
        standstill.note(at(min - 1));
        assert!(!standstill.since(start));
        standstill.note(at(2 * min));
        assert!(standstill.since(at(2 * min - 1)) && !standstill.since(at(2 * min)));
        standstill.note(at(2 * min + 1));
        assert!(standstill.since(start) && !standstill.since(at(2 * min)));
    }
}
