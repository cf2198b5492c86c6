//! When a connection wants to be looked at although nothing happened. At most one of them is in the poll loop's set.

use std::time::Instant;

use super::connection::Why;

/// The deadlines of one connection. `None`: it does not have that one now.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// For the first whole frame.
    pub(super) handshake: Option<Instant>,
    /// For a frame that has begun.
    pub(super) frame: Option<Instant>,
    /// For a client to take what waits for it.
    pub(super) taken: Option<Instant>,
    /// After which what a client still sends is not thrown away any more.
    pub(super) linger: Option<Instant>,
    /// To see whether a client has been silent for too long; see `Connection::handle_deadline`.
    pub(super) silence: Option<Instant>,
}

impl Deadlines {
    /// The next one.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.handshake, self.frame, self.taken, self.linger, self.silence].into_iter().flatten().min()
    }

    /// What has happened too late by `now`.
    pub(super) fn passed(&self, now: Instant) -> Option<Why> {
        [
            (self.handshake, Why::HandshakeTimeout),
            (self.frame, Why::FrameTimeout),
            (self.taken, Why::Stalled),
            (self.linger, Why::Finished),
            (self.silence, Why::Silent),
        ]
        .into_iter()
        .find_map(|(deadline, why)| deadline.is_some_and(|at| at <= now).then_some(why))
    }
}
