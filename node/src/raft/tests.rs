//! openraft's own conformance suite on our storage.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tokio::sync::watch;

use super::flushes::Flushes;
use super::log_store::RaftLog;
use super::snapshot::SnapshotBuilder;
use super::state_machine::ChatStateMachine;
use super::types::TypeConfig;
use crate::storage::apply::ApplyThread;
use crate::storage::log::LogStore;
use crate::storage::snapshot::StateFiles;
use crate::storage::state::StateDb;
use crate::storage::trouble::Alarm;

/// Not one of those that the suite votes for: a node does not read back a vote of its own as won.
const NODE: u64 = u64::MAX;

struct Builder;

impl StoreBuilder<TypeConfig, RaftLog, ChatStateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, RaftLog, ChatStateMachine), StorageError<u64>> {
        let directory = tempfile::tempdir().unwrap();
        let alarm = Alarm::default();
        let store = LogStore::open(&directory.path().join("log.db"), alarm.clone()).unwrap();
        let log = RaftLog::open(store, NODE).unwrap();
        let path = directory.path().join("state.db");
        let state = StateDb::open(&path).unwrap();
        let builder = SnapshotBuilder::new(Arc::new(StateFiles::open(&path, alarm.clone()).unwrap()));
        // The suite applies entries that it never appended.
        let flushes = Flushes::new(u64::MAX);
        let applied = Arc::new(watch::Sender::new(None));
        let machine =
            ChatStateMachine::new(ApplyThread::start(state, alarm).unwrap(), builder, applied, flushes, log.clone());
        Ok((directory, log, machine))
    }
}

#[test]
fn storage_passes_the_conformance_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}
