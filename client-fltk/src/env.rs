//! What the program takes from its surroundings: time and randomness enter here and nowhere else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::time::Millis;

/// The clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Never goes back: for deadlines.
    #[must_use]
    pub fn monotonic(self) -> Millis {
        Millis::from_ms(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// How long it runs: for measuring.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.start.elapsed()
    }

    /// Milliseconds since 1970, UTC. For display; nothing orders by it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A number nobody can guess; 0 if the system has no randomness to give, which only makes waits less spread.
#[must_use]
pub fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
