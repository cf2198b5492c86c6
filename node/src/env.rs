//! What the process takes from its surroundings. Time enters here and nowhere else.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
