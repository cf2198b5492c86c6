//! Bounds and times of the server itself; those of the protocol are in [`wire::limits`].

use std::time::Duration;

/// A read that gets no answer from a quorum for this long is answered from local state and marked stale.
pub const STALE_AFTER: Duration = Duration::from_secs(2);

/// A write is held this long while no leader can be reached, then refused.
pub const WRITE_HOLD: Duration = Duration::from_secs(10);
