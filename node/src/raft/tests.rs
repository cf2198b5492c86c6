//! openraft's own conformance suite on our storage.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tokio::sync::watch;

use super::log_store::RaftLog;
use super::snapshot::SnapshotBuilder;
use super::state_machine::ChatStateMachine;
use super::types::TypeConfig;
use crate::storage::apply::ApplyThread;
use crate::storage::log::LogStore;
use crate::storage::snapshot::StateFiles;
use crate::storage::state::StateDb;

struct Builder;

impl StoreBuilder<TypeConfig, RaftLog, ChatStateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, RaftLog, ChatStateMachine), StorageError<u64>> {
        let directory = tempfile::tempdir().unwrap();
        let log = RaftLog::open(LogStore::open(&directory.path().join("log.db")).unwrap()).unwrap();
        let path = directory.path().join("state.db");
        let state = StateDb::open(&path).unwrap();
        let builder = SnapshotBuilder::new(Arc::new(StateFiles::open(&path).unwrap()));
        let applied = Arc::new(watch::Sender::new(None));
        let machine = ChatStateMachine::new(ApplyThread::start(state).unwrap(), builder, applied);
        Ok((directory, log, machine))
    }
}

#[test]
fn storage_passes_the_conformance_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}
