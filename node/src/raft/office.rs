//! Waits on openraft that come to an end.
//!
//! openraft answers a write when it applies or truncates the entry at that index. Where a snapshot replaces the entry it
//! does neither, and the answer never comes: a leader that was cut off, deposed and caught up by snapshot is left with
//! one. So whoever asks waits only as long as this node holds the office in which it asked. What it asked for may still
//! be carried out: the outcome is unknown, not failed.
//!
//! openraft keeps one small sender for each answer that never came. There is at most one for each task that asks here and
//! each time the office was lost.

use std::future::Future;
use std::time::Duration;

use openraft::ServerState;
use openraft::metrics::RaftServerMetrics;

use super::types::{Peer, Raft, Vote};

/// Why openraft's answer was not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    /// This node did not lead, and nothing was asked.
    #[error("this server does not lead")]
    NotLeading,
    /// This node lost its office before the answer.
    #[error("this server does not lead any more")]
    Deposed,
    /// The answer took too long.
    #[error("no majority has confirmed it in time")]
    TooLate,
}

/// Waits for what openraft answers to a leader, at most `patience`. `ask` is not polled unless this node leads.
///
/// # Errors
/// See [`Unanswered`].
pub(super) async fn in_office<T>(
    raft: &Raft,
    patience: Duration,
    ask: impl Future<Output = T>,
) -> Result<T, Unanswered> {
    let mut metrics = raft.server_metrics();
    let Some(office) = office(&metrics.borrow_and_update()) else { return Err(Unanswered::NotLeading) };
    tokio::select! {
        biased;
        answer = ask => Ok(answer),
        // An error means that openraft has ended.
        _ = metrics.wait_for(|metrics| self::office(metrics) != Some(office)) => Err(Unanswered::Deposed),
        () = tokio::time::sleep(patience) => Err(Unanswered::TooLate),
    }
}

/// The vote under which this node leads. Every election makes a new one.
fn office(metrics: &RaftServerMetrics<u64, Peer>) -> Option<Vote> {
    (metrics.state == ServerState::Leader).then_some(metrics.vote)
}
