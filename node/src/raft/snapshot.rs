//! Snapshots: the state database *is* the snapshot.
//!
//! Building one costs no copy. It checkpoints `state.db`, after which everything up to the applied index survives a
//! power loss, and reports that index; openraft may then purge the log below it. Only when a follower needs the
//! content is a consistent copy made, by then possibly of a newer index, and sent with a header of its own. The
//! follower ends up further ahead than openraft asked for, which Raft allows: everything in the copy is committed.

use std::sync::{Arc, Mutex};

use openraft::{
    AnyError, ErrorSubject, ErrorVerb, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StorageIOError,
};

use super::types::{LogId, StoredMembership, TypeConfig, log_id_in, log_id_out, membership_out, stored_membership_in};
use crate::storage::snapshot::{CopyError, SnapshotFile, StateFiles};
use wire::replication::rpc::SnapshotHeader;

/// Content of a snapshot on its way.
#[derive(Debug)]
pub enum SnapshotContent {
    /// The state database of this node, to be copied when the content is wanted.
    Live(Arc<StateFiles>),
    /// A received copy; see [`crate::storage::snapshot`] for how long its file stays.
    File(SnapshotFile),
}

impl SnapshotContent {
    /// A file with the content. Blocks; for [`SnapshotContent::Live`] as long as copying the database takes.
    ///
    /// # Errors
    /// The copy could not be made.
    pub fn into_file(self) -> Result<SnapshotFile, CopyError> {
        match self {
            SnapshotContent::Live(files) => files.copy(),
            SnapshotContent::File(file) => Ok(file),
        }
    }
}

/// Everything about a snapshot but its content.
pub type Meta = SnapshotMeta<u64, super::types::Peer>;

/// What a snapshot covers, as openraft has it.
pub fn meta(last_log_id: Option<LogId>, last_membership: StoredMembership) -> Meta {
    let snapshot_id = last_log_id.map_or_else(
        || "empty".to_owned(),
        |id| format!("{}-{:016x}-{}", id.leader_id.term, id.leader_id.node_id, id.index),
    );
    SnapshotMeta { last_log_id, last_membership, snapshot_id }
}

/// To openraft, from the header that came in front of the content.
pub fn meta_in(header: SnapshotHeader) -> Meta {
    SnapshotMeta {
        last_log_id: header.last_log_id.map(log_id_in),
        last_membership: stored_membership_in((header.membership_log_id, header.membership)),
        snapshot_id: header.id,
    }
}

/// The header for a copy that holds `meta`.
pub fn header_out(meta: &Meta, bytes: u64, sha256: [u8; 32]) -> SnapshotHeader {
    SnapshotHeader {
        id: meta.snapshot_id.clone(),
        last_log_id: meta.last_log_id.as_ref().map(log_id_out),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id_out),
        membership: membership_out(meta.last_membership.membership()),
        bytes,
        sha256,
    }
}

/// Builds snapshots on openraft's demand, off its thread.
#[derive(Debug, Clone)]
pub struct SnapshotBuilder {
    files: Arc<StateFiles>,
    durable: Arc<Mutex<Option<Meta>>>,
}

impl SnapshotBuilder {
    /// For the state database behind `files`, of which nothing is known to be durable yet.
    pub fn new(files: Arc<StateFiles>) -> Self {
        SnapshotBuilder { files, durable: Arc::default() }
    }

    /// The state database's files.
    pub fn files(&self) -> &Arc<StateFiles> {
        &self.files
    }

    /// The newest durable state, if any was ever established by this process.
    pub fn current(&self) -> Option<Snapshot<TypeConfig>> {
        let meta = self.durable.lock().expect("nobody panics while holding this lock").clone()?;
        Some(Snapshot { meta, snapshot: Box::new(SnapshotContent::Live(self.files.clone())) })
    }

    /// Makes the state durable and reports what it holds. Blocks.
    ///
    /// # Errors
    /// The checkpoint failed.
    pub fn establish(&self) -> Result<Meta, CopyError> {
        let (applied, membership) = self.files.checkpoint()?;
        let meta = meta(applied.map(log_id_in), stored_membership_in(membership));
        Ok(self.remember(meta))
    }

    /// The newest durable state, which this is unless another call has come further: they may overtake each other.
    fn remember(&self, meta: Meta) -> Meta {
        let mut durable = self.durable.lock().expect("nobody panics while holding this lock");
        match &*durable {
            Some(newest) if newest.last_log_id >= meta.last_log_id => newest.clone(),
            _ => {
                *durable = meta.last_log_id.is_some().then(|| meta.clone());
                meta
            }
        }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<u64>> {
        let builder = self.clone();
        let meta = tokio::task::spawn_blocking(move || builder.establish())
            .await
            .map_err(|error| snapshot_error(ErrorVerb::Write, &error))?
            .map_err(|error| snapshot_error(ErrorVerb::Write, &error))?;
        Ok(Snapshot { meta, snapshot: Box::new(SnapshotContent::Live(self.files.clone())) })
    }
}

pub(super) fn snapshot_error(verb: ErrorVerb, error: &(impl std::error::Error + 'static)) -> StorageError<u64> {
    StorageError::from(StorageIOError::new(ErrorSubject::Snapshot(None), verb, AnyError::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::state::StateDb;
    use crate::storage::trouble::Alarm;

    #[test]
    fn what_is_durable_never_goes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        drop(StateDb::open(&path).unwrap());
        let builder = SnapshotBuilder::new(Arc::new(StateFiles::open(&path, Alarm::default()).unwrap()));
        let at = |index| {
            meta(Some(log_id_in(wire::replication::entry::LogId { term: 1, node: 1, index })), Default::default())
        };
        let newest = || builder.current().and_then(|snapshot| snapshot.meta.last_log_id).map(|id| id.index);
        assert_eq!(builder.establish().unwrap().last_log_id, None);
        assert_eq!(newest(), None);
        builder.remember(at(20));
        // Read before the other, and done after it.
        assert_eq!(builder.remember(at(10)).last_log_id.map(|id| id.index), Some(20));
        assert_eq!(newest(), Some(20));
        // Nothing is applied here.
        assert_eq!(builder.establish().unwrap().last_log_id.map(|id| id.index), Some(20));
        builder.remember(at(30));
        assert_eq!(newest(), Some(30));
    }
}
