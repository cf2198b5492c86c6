//! openraft's own conformance suite on our storage, and waits on openraft.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{OptionalSend, Snapshot, StorageError};
use tokio::sync::watch;
use wire::replication::entry::{LogId, Member};

use super::flushes::Flushes;
use super::log_store::RaftLog;
use super::office::{Unanswered, in_office};
use super::snapshot::SnapshotBuilder;
use super::state_machine::ChatStateMachine;
use super::types::{Peer, Proposal, Raft, TypeConfig, Vote, log_id_in};
use crate::env::ClusterTime;
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
        let machine = ChatStateMachine::new(
            ApplyThread::start(state, alarm).unwrap(),
            builder,
            applied,
            flushes,
            log.clone(),
            ClusterTime::default(),
        );
        Ok((directory, log, machine))
    }
}

#[test]
fn storage_passes_the_conformance_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}

/// Every other member votes for whoever asks, and hears nothing else.
struct Voters;

impl RaftNetworkFactory<TypeConfig> for Voters {
    type Network = Self;

    async fn new_client(&mut self, _: u64, _: &Peer) -> Self {
        Voters
    }
}

fn unreachable<E: std::error::Error>() -> RPCError<u64, Peer, E> {
    RPCError::Unreachable(Unreachable::new(&std::io::Error::other("cut off")))
}

impl RaftNetwork<TypeConfig> for Voters {
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Peer, RaftError<u64>>> {
        Err(unreachable())
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Peer, RaftError<u64>>> {
        Ok(VoteResponse::new(request.vote, None, true))
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot<TypeConfig>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        Err(StreamingError::Unreachable(Unreachable::new(&std::io::Error::other("cut off"))))
    }
}

/// A write of a leader that is cut off.
async fn write(raft: &Raft, patience: Duration) -> Result<(), Unanswered> {
    in_office(raft, patience, raft.client_write(Proposal(b"any".as_slice().into()))).await.map(drop)
}

#[tokio::test]
async fn what_a_deposed_leader_asked_for_is_not_waited_for() {
    const LONG: Duration = Duration::from_secs(600);
    let (directory, log, machine) = Builder.build().await.unwrap();
    let config = Arc::new(openraft::Config { enable_elect: false, ..openraft::Config::default() });
    let raft = Raft::new(1, config, Voters, log, machine).await.unwrap();
    assert_eq!(write(&raft, LONG).await, Err(Unanswered::NotLeading));

    let peer = |id: u64| Peer::from_member(&Member { id, address: format!("192.0.2.{id}:1"), name: format!("n{id}") });
    raft.initialize(BTreeMap::from([1, 2, 3].map(|id| (id, peer(id))))).await.unwrap();
    raft.trigger().elect().await.unwrap();
    raft.wait(Some(LONG)).state(openraft::ServerState::Leader, "elected").await.unwrap();
    assert_eq!(write(&raft, Duration::ZERO).await, Err(Unanswered::TooLate));

    let (asked, granted) = tokio::join!(write(&raft, LONG), async {
        raft.wait(Some(LONG)).log_index_at_least(Some(3), "both writes are logged").await.unwrap();
        // Its lease protects it until then.
        loop {
            let newer = VoteRequest::new(Vote::new(9, 2), Some(log_id_in(LogId { term: 9, node: 2, index: 9 })));
            let answer = raft.vote(newer).await.unwrap();
            if answer.vote_granted {
                return true;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!((asked, granted), (Err(Unanswered::Deposed), true));
    raft.shutdown().await.unwrap();
    drop(directory);
}
