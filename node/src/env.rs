//! What the process takes from its surroundings. Time enters here and nowhere else.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::limits::{LOG_KEPT_ENTRIES, SNAPSHOT_ENTRIES};

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
