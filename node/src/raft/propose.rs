//! Writes: commands in, outcomes out, exactly once.
//!
//! Every write of this node goes through one queue, in order. What arrived while the last run was in flight becomes
//! the next run: one log entry and one flush for all of it.

use tokio::sync::oneshot;
use wire::replication::command::{Command, Outcome};

/// Who waits for the outcome of a write.
#[derive(Debug)]
pub enum Ticket {
    /// The service: completions come back in batches, through the channel given at start, in submission order.
    Service(u64),
    /// A single waiter.
    Waiter(oneshot::Sender<Result<Outcome, ProposeError>>),
}

/// One answered write of the service.
#[derive(Debug)]
pub struct Completion {
    /// The number the service gave it.
    pub ticket: u64,
    /// What came of it.
    pub result: Result<Outcome, ProposeError>,
}

/// Why a write has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Too many writes wait already; nothing was queued.
    #[error("too many writes are waiting")]
    Overloaded,
    /// No majority answered in time, and no leader ever saw it: it is certainly not stored.
    #[error("not stored: {missing}")]
    NotStored {
        /// What is missing, in words for a user.
        missing: String,
    },
    /// It was handed to a leader, and the answer never came: it may or may not become stored.
    #[error("outcome unknown: {missing}")]
    Unknown {
        /// What is missing, in words for a user.
        missing: String,
    },
    /// This node is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Handle to the write queue.
#[derive(Debug, Clone)]
pub struct Proposer {}

impl Proposer {
    /// Queues one write.
    ///
    /// # Errors
    /// [`ProposeError::Overloaded`] when the queue is full; the ticket is then dropped unanswered.
    pub fn submit(&self, command: &Command<'_>, ticket: Ticket) -> Result<(), ProposeError> {
        let _ = (command, ticket);
        Err(ProposeError::Stopping)
    }
}
