//! openraft's state machine over the apply thread.

use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, Entry, ErrorSubject, ErrorVerb, OptionalSend, Snapshot, StorageError, StorageIOError};
use tokio::sync::{oneshot, watch};

use super::flushes::Flushes;
use super::snapshot::{Meta, SnapshotBuilder, SnapshotContent, snapshot_error};
use super::types::{Applied, LogId, StoredMembership, TypeConfig, entry_out, log_id_in, stored_membership_in};
use crate::storage::apply::ApplyThread;
use crate::storage::entry::LogEntry;

/// The chat state as openraft sees it.
#[derive(Debug)]
pub struct ChatStateMachine {
    apply: ApplyThread,
    builder: SnapshotBuilder,
    applied: Arc<watch::Sender<Option<u64>>>,
    flushes: Flushes,
}

impl ChatStateMachine {
    /// Around a running apply thread. `applied` is told the index of every applied entry, for readers that wait for it;
    /// `flushes` says when the entries to apply are on disk.
    pub fn new(
        apply: ApplyThread,
        builder: SnapshotBuilder,
        applied: Arc<watch::Sender<Option<u64>>>,
        flushes: Flushes,
    ) -> Self {
        ChatStateMachine { apply, builder, applied, flushes }
    }
}

impl RaftStateMachine<TypeConfig> for ChatStateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError<u64>> {
        let (applied, membership) = ask(|done| self.apply.position(done)).await?;
        self.applied.send_replace(applied.map(|id| id.index));
        Ok((applied.map(log_id_in), stored_membership_in(membership)))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().map(|entry| entry_out(&entry)).collect();
        let last = entries.last().map(|entry| entry.log_id.index);
        if let Some(last) = last {
            // The state never runs ahead of the log, and nobody is answered before this node's copy is on disk.
            let flushed = self.flushes.upto(last).await;
            flushed
                .map_err(|error| StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Write, AnyError::new(&error)))?;
        }
        let outcomes = ask(|done| self.apply.apply(entries, done)).await?;
        if last.is_some() {
            self.applied.send_replace(last);
        }
        Ok(outcomes.into_iter().map(Applied).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.builder.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotContent>, StorageError<u64>> {
        // Only openraft's own chunked transfer writes into this; ours hands over a complete file.
        Ok(Box::new(SnapshotContent::Live(self.builder.files().clone())))
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<SnapshotContent>) -> Result<(), StorageError<u64>> {
        let file = tokio::task::spawn_blocking(move || snapshot.into_file())
            .await
            .map_err(|error| snapshot_error(ErrorVerb::Read, &error))?
            .map_err(|error| snapshot_error(ErrorVerb::Read, &error))?;
        ask(|done| self.apply.install(file, done)).await?;
        let builder = self.builder.clone();
        tokio::task::spawn_blocking(move || builder.establish())
            .await
            .map_err(|error| snapshot_error(ErrorVerb::Write, &error))?
            .map_err(|error| snapshot_error(ErrorVerb::Write, &error))?;
        self.applied.send_replace(meta.last_log_id.map(|id| id.index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError<u64>> {
        Ok(self.builder.current())
    }
}

/// Hands a job to the apply thread and waits for its answer.
async fn ask<T, E>(start: impl FnOnce(Box<dyn FnOnce(Result<T, E>) + Send>)) -> Result<T, StorageError<u64>>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let (done, answer) = oneshot::channel();
    start(Box::new(move |result| {
        let _ = done.send(result);
    }));
    let failed =
        |error: AnyError| StorageError::from(StorageIOError::new(ErrorSubject::StateMachine, ErrorVerb::Write, error));
    match answer.await {
        Ok(result) => result.map_err(|error| failed(AnyError::new(&error))),
        Err(gone) => Err(failed(AnyError::new(&gone))),
    }
}
