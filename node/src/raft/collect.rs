//! The leader's end of writes: runs of all nodes in, log entries out, one in flight at a time.
//!
//! An entry whose answer does not come, see [`super::office`], is given up and the next one goes on. Its runs may still
//! be applied; whoever repeats them does so under the same numbers, so they are applied once.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use wire::limits::BATCH_BYTES_MAX;
use wire::replication::command::{Batch, Outcome, Run, Writer};
use wire::replication::encode;

use super::leader::Leadership;
use super::office::{Unanswered, in_office};
use super::types::{Proposal, Raft};
use crate::env::{Clock, ClusterTime};
use crate::limits::{COLLECTED_RUNS_MAX, PROPOSAL_PATIENCE};
use crate::storage::trouble::Alarm;

/// Owned counterpart of [`Run`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnedRun {
    pub(super) writer: Writer,
    pub(super) first_seq: u64,
    pub(super) count: u32,
    pub(super) commands: Vec<u8>,
}

impl OwnedRun {
    pub(super) fn as_wire(&self) -> Run<'_> {
        Run { writer: self.writer, first_seq: self.first_seq, count: self.count, commands: &self.commands }
    }

    pub(super) fn from_wire(run: &Run<'_>) -> Self {
        OwnedRun { writer: run.writer, first_seq: run.first_seq, count: run.count, commands: run.commands.to_vec() }
    }
}

/// Why a run has no outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotCollected {
    /// It was never proposed.
    Refused,
    /// It was proposed and may become committed.
    Unknown,
}

struct Collected {
    run: Arc<OwnedRun>,
    done: oneshot::Sender<Result<Vec<Outcome>, NotCollected>>,
}

/// Handle to the collecting task.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    runs: mpsc::Sender<Collected>,
}

impl Collector {
    pub(super) fn start(raft: Raft, clock: Clock, time: ClusterTime, leadership: Leadership, alarm: &Alarm) -> Self {
        let (runs, queue) = mpsc::channel(COLLECTED_RUNS_MAX);
        alarm.guard("collecting writes", collect(raft, clock, time, leadership, queue));
        Collector { runs }
    }

    /// Proposes a run and waits for its outcomes.
    pub(super) async fn collect(&self, run: Arc<OwnedRun>) -> Result<Vec<Outcome>, NotCollected> {
        let (done, outcome) = oneshot::channel();
        // Full only with runs that were given up: a stuck leader is no place to wait at.
        self.runs.try_send(Collected { run, done }).map_err(|_| NotCollected::Refused)?;
        outcome.await.unwrap_or(Err(NotCollected::Unknown))
    }
}

async fn collect(
    raft: Raft,
    clock: Clock,
    time: ClusterTime,
    leadership: Leadership,
    mut queue: mpsc::Receiver<Collected>,
) {
    let mut held = None;
    loop {
        let next = match held.take() {
            Some(collected) => Some(collected),
            None => queue.recv().await,
        };
        let Some(first) = next else { return };
        if first.done.is_closed() {
            // Given up while it waited here: its writer has been told that it may not be stored, and it will not be.
            continue;
        }
        let mut bytes = first.run.commands.len();
        let mut batch = vec![first];
        while let Ok(next) = queue.try_recv() {
            if bytes + next.run.commands.len() > BATCH_BYTES_MAX {
                held = Some(next);
                break;
            }
            bytes += next.run.commands.len();
            batch.push(next);
        }
        let encoded = encode(&Batch {
            // A voter that does not know an entry's rules stops at it.
            rule_level: leadership.rule_level(),
            time_ms: time.now_ms(clock),
            runs: batch.iter().map(|collected| collected.run.as_wire()).collect(),
        });
        let write = raft.client_write(Proposal(encoded.into()));
        let answers = match in_office(&raft, PROPOSAL_PATIENCE, write).await {
            Ok(Ok(response)) => Ok(response.data.0),
            // A leader that lost its office answers so both before and after it has logged the entry.
            Ok(Err(error)) if error.forward_to_leader().is_some() => Err(NotCollected::Unknown),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a write was not proposed");
                Err(NotCollected::Unknown)
            }
            Err(Unanswered::NotLeading) => Err(NotCollected::Refused),
            Err(reason) => {
                tracing::warn!(%reason, runs = batch.len(), "it is not known what becomes of writes");
                Err(NotCollected::Unknown)
            }
        };
        match answers {
            Ok(outcomes) => {
                for (collected, outcomes) in batch.into_iter().zip(outcomes) {
                    // Whoever asked may have given up.
                    let _ = collected.done.send(Ok(outcomes));
                }
            }
            Err(reason) => {
                for collected in batch {
                    let _ = collected.done.send(Err(reason));
                }
            }
        }
    }
}
