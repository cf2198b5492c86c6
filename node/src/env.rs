//! What the process takes from its surroundings. Time enters here and nowhere else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::limits::{LOG_KEPT_ENTRIES, SNAPSHOT_ENTRIES};
/// Milliseconds since 1970 of the beginning of 2026, when this program was written: a clock that shows less is wrong.
const WRITTEN_MS: u64 = 1_767_225_600_000;

/// The clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Never goes back: for deadlines.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn monotonic(self) -> Instant {
        Instant::now()
    }

    /// Milliseconds since 1970, UTC. Only for stamps and expiry; nothing orders by it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn unix_ms(self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// What is wrong with the clock of this machine, for its operator; `None` if it may be right.
    pub fn trouble(self) -> Option<String> {
        let now = self.unix_ms();
        (now < WRITTEN_MS).then(|| {
            format!(
                "this machine's clock says {}, which is before this program was written, so it is wrong: messages get wrong times \
                 until it is set, for example with `date -s` or `timedatectl set-ntp true`",
                day(now)
            )
        })
    }
}

/// The time of day as a cluster has it: this machine's, unless that is certainly wrong. Then time goes on from the newest
/// that was heard in the cluster, so that the times of messages do not go back when such a machine leads.
#[derive(Debug, Clone, Default)]
pub struct ClusterTime(Arc<Mutex<Option<(u64, Instant)>>>);

impl ClusterTime {
    /// Something in the cluster has this time, in milliseconds since 1970.
    pub fn heard(&self, ms: u64) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.is_none_or(|(newest, _)| ms > newest) {
            *newest = Some((ms, Clock.monotonic()));
        }
    }

    /// Milliseconds since 1970, UTC.
    pub fn now_ms(&self, clock: Clock) -> u64 {
        self.at(clock.unix_ms(), clock.monotonic())
    }

    fn at(&self, unix_ms: u64, now: Instant) -> u64 {
        let newest = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match newest {
            Some((newest, heard)) if unix_ms < WRITTEN_MS => {
                let since = u64::try_from(now.saturating_duration_since(heard).as_millis()).unwrap_or(u64::MAX);
                unix_ms.max(newest.saturating_add(since))
            }
            _ => unix_ms,
        }
    }
}

/// Milliseconds since 1970 as a date.
fn day(ms: u64) -> String {
    let (year, month, day) = civil(ms / 86_400_000);
    let minutes = ms / 60_000 % (24 * 60);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Year, month and day of a day since 1970-01-01. Counted in eras of 400 years that begin on a 1 March, so that the leap
/// day is the last of its year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_certainly_wrong_does_not_turn_the_time_back() {
        let (time, now) = (ClusterTime::default(), Clock.monotonic());
        assert_eq!(time.at(5, now), 5, "nothing better is known");
        let stamped = WRITTEN_MS + 1000;
        time.heard(stamped);
        time.heard(stamped - 500);
        let later = Clock.monotonic() + Duration::from_secs(3600);
        assert!((stamped + 3_599_000..=stamped + 3_601_000).contains(&time.at(5, later)));
        assert_eq!(time.at(WRITTEN_MS, later), WRITTEN_MS, "a clock that may be right is believed");
    }

    #[test]
    fn moments_are_spelled_as_dates() {
        assert_eq!(day(0), "1970-01-01 00:00 UTC");
        assert_eq!(day(WRITTEN_MS + 83_000), "2026-01-01 00:01 UTC");
    }
}

/// How many entries the log has between two checkpoints, and behind the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntries {
    /// See [`SNAPSHOT_ENTRIES`].
    pub between_snapshots: u64,
    /// See [`LOG_KEPT_ENTRIES`].
    pub kept: u64,
}

impl LogEntries {
    /// For tests only: `SAMIRA_TEST_LOG_ENTRIES=256,512` makes the log shorter, so that a follower needs a snapshot
    /// after an absence of seconds. Anything else in it, or nothing, means the usual bounds.
    pub fn from_environment() -> Self {
        let given = std::env::var("SAMIRA_TEST_LOG_ENTRIES").ok();
        given
            .and_then(|given| Self::parse(&given))
            .unwrap_or(LogEntries { between_snapshots: SNAPSHOT_ENTRIES, kept: LOG_KEPT_ENTRIES })
    }

    fn parse(given: &str) -> Option<Self> {
        let (between_snapshots, kept) = given.split_once(',')?;
        let number = |text: &str| text.parse().ok().filter(|&number| number > 0);
        Some(LogEntries { between_snapshots: number(between_snapshots)?, kept: number(kept)? })
    }
}
