//! openraft's state machine over the apply thread.

use std::collections::VecDeque;
use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, Entry, ErrorSubject, ErrorVerb, OptionalSend, Snapshot, StorageError, StorageIOError};
use tokio::sync::{oneshot, watch};
use wire::replication::decode_prefix;

use super::flushes::Flushes;
use super::log_store::RaftLog;
use super::snapshot::{Meta, SnapshotBuilder, SnapshotContent, snapshot_error};
use super::types::{
    Applied, LogId, StoredMembership, TypeConfig, entry_out, is_left_in_log, log_id_in, stored_membership_in,
};
use crate::env::ClusterTime;
use crate::storage::apply::ApplyThread;
use crate::storage::entry::{LogEntry, LogPayload};

/// The chat state as openraft sees it.
#[derive(Debug)]
pub struct ChatStateMachine {
    apply: ApplyThread,
    builder: SnapshotBuilder,
    applied: Arc<watch::Sender<Option<u64>>>,
    flushes: Flushes,
    log: RaftLog,
    time: ClusterTime,
}

impl ChatStateMachine {
    /// Around a running apply thread. `log` has the content of entries that came without. `applied` is told the index of
    /// every applied entry, for readers that wait for it; `flushes` says when the entries to apply are on disk; `time` hears
    /// their times.
    pub fn new(
        apply: ApplyThread,
        builder: SnapshotBuilder,
        applied: Arc<watch::Sender<Option<u64>>>,
        flushes: Flushes,
        log: RaftLog,
        time: ClusterTime,
    ) -> Self {
        ChatStateMachine { apply, builder, applied, flushes, log, time }
    }

    /// The next entries to apply in one transaction: those that came with their content up to the first without, or the content
    /// of those that came without.
    async fn next(&self, entries: &mut VecDeque<Entry<TypeConfig>>) -> Result<Vec<LogEntry>, StorageError<u64>> {
        let mut here = Vec::new();
        while let Some(entry) = entries.pop_front_if(|entry| !is_left_in_log(entry)) {
            here.push(entry_out(&entry));
        }
        let (true, Some(first)) = (here.is_empty(), entries.front()) else { return Ok(here) };
        let start = first.log_id.index;
        let left = entries.iter().take_while(|entry| is_left_in_log(entry)).count();
        let read = self.log.content_of(start, start + left as u64).await;
        let read =
            read.map_err(|error| StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Read, AnyError::new(&error)))?;
        entries.drain(..read.len().min(left));
        Ok(read.iter().map(entry_out).collect())
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
        let mut entries: VecDeque<Entry<TypeConfig>> = entries.into_iter().collect();
        let last = entries.back().map(|entry| entry.log_id.index);
        if let Some(last) = last {
            // The state never runs ahead of the log, and nobody is answered before this node's copy is on disk.
            let flushed = self.flushes.upto(last).await;
            flushed
                .map_err(|error| StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Write, AnyError::new(&error)))?;
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        while !entries.is_empty() {
            let part = self.next(&mut entries).await?;
            let upto = part.last().map(|entry| entry.log_id.index);
            // The first two fields of a batch are its rule level and its time.
            let stamps = part.iter().filter_map(|entry| match &entry.payload {
                LogPayload::Batch(batch) => decode_prefix::<(u16, u64)>(batch).ok(),
                LogPayload::Blank | LogPayload::Membership(_) => None,
            });
            stamps.for_each(|((_, time_ms), _)| self.time.heard(time_ms));
            outcomes.extend(ask(|done| self.apply.apply(part, done)).await?);
            if let Some(upto) = upto {
                self.log.applied(upto);
                self.applied.send_replace(Some(upto));
            }
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
        let kept = file.kept();
        ask(|done| self.apply.install(file, done)).await?;
        let builder = self.builder.clone();
        tokio::task::spawn_blocking(move || builder.establish())
            .await
            .map_err(|error| snapshot_error(ErrorVerb::Write, &error))?
            .map_err(|error| snapshot_error(ErrorVerb::Write, &error))?;
        // Now the state holds it for good.
        self.builder.files().release(kept);
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
