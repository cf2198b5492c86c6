//! What the program takes from its surroundings: time and randomness enter here and nowhere else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wire::time::Millis;

/// The clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Duration,
}

/// Time that goes on while the machine sleeps: who opens a laptop again is to hear at once, not minutes later, that the
/// connection of before is dead.
#[cfg(target_os = "linux")]
const STEADY: ClockId = ClockId::Boottime;
/// Time that never goes back.
#[cfg(not(target_os = "linux"))]
const STEADY: ClockId = ClockId::Monotonic;

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: steady() }
    }

    /// Never goes back: for deadlines.
    #[must_use]
    pub fn monotonic(self) -> Millis {
        Millis::from_ms(u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// How long it runs: for measuring.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        steady().saturating_sub(self.start)
    }

    /// Milliseconds since 1970, UTC. For display; nothing orders by it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

fn steady() -> Duration {
    let now = clock_gettime(STEADY);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// A number nobody can guess; 0 if the system has no randomness to give, which only makes waits less spread.
#[must_use]
pub fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
