//! The owner of openraft: the replicated log, who leads it, and who belongs to it.
//!
//! openraft's part is the algorithm. Ours is what it stands on ([`log_store`], [`state_machine`], [`snapshot`],
//! [`network`]) and what stands on it: writes exactly once ([`propose`]), linearizable reads on any node ([`read`]), who
//! leads ([`leader`]) and how members come in. Its types end in [`types`].

mod addresses;
mod candidacy;
pub mod clocks;
mod collect;
mod comparison;
pub mod flushes;
mod incoming;
pub mod introductions;
pub mod leader;
pub mod log_store;
mod membership;
pub mod network;
mod newcomer;
mod office;
pub mod propose;
pub mod read;
pub mod removal;
pub mod runtime;
mod server;
pub mod snapshot;
pub mod state_machine;
mod succession;
#[cfg(test)]
mod tests;
pub mod types;
pub mod whisper;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use openraft::error::Fatal;
use openraft::{Config, SnapshotPolicy};
use tokio::sync::{mpsc, watch};
use wire::replication::entry::Member;

use self::candidacy::{Candidate, Heard};
use self::clocks::Clocks;
use self::collect::Collector;
use self::comparison::Told;
use self::introductions::Introductions;
use self::leader::Leadership;
use self::log_store::RaftLog;
use self::membership::Doorkeeper;
use self::network::Network;
use self::propose::{Completion, Proposer, ProposerTask};
use self::read::Reads;
use self::removal::{RemovedMember, Remover};
use self::server::{Parts, PeerServer};
use self::snapshot::SnapshotBuilder;
use self::state_machine::ChatStateMachine;
use self::types::{Peer, Raft};
use self::whisper::Whispers;
use crate::chat::effect::Listener;
use crate::cluster::identity::{DataDir, Identity, IdentityError};
use crate::env::{Clock, ClusterTime, LogEntries};
use crate::limits::{CALL_TIMEOUT, ELECTION_TIMEOUT_MAX, ELECTION_TIMEOUT_MIN, HEARTBEAT};
use crate::quic::endpoint::{self, EndpointError, Peers};
use crate::storage;
use crate::storage::apply::ApplyThread;
use crate::storage::log::{self, LogStore};
use crate::storage::removals::Removals;
use crate::storage::snapshot::{StateFiles, finish_received};
use crate::storage::state::{self, StateDb};
use crate::storage::trouble::{Alarm, Damage};

/// Why consensus could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// `log.db`.
    #[error(transparent)]
    Log(#[from] log::OpenError),
    /// `state.db`.
    #[error(transparent)]
    State(#[from] state::OpenError),
    /// A copy of the state that an earlier process had received.
    #[error("cannot take in the copy of the cluster's state that has arrived")]
    Received(#[from] state::CopyError),
    /// What is in them.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Links.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Files and threads.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// openraft.
    #[error("consensus cannot start: {0}")]
    Raft(String),
}

/// What consensus runs on.
#[derive(Debug)]
pub struct Ground {
    /// The data directory.
    pub data: Arc<DataDir>,
    /// Who this node is.
    pub identity: Arc<Identity>,
    /// For links between nodes.
    pub socket: UdpSocket,
    /// For stamps.
    pub clock: Clock,
    /// Raised when the storage fails.
    pub alarm: Alarm,
    /// Told what is applied, from the first entry on.
    pub listener: Option<Listener>,
    /// The operator says that this data directory counts, although it may be older than its promises.
    pub trust_data: bool,
    /// Where this node listens, with its real port.
    pub listen: SocketAddr,
    /// Addresses that the operator gave, at which members may be found.
    pub peers: Vec<String>,
}

/// Running consensus.
pub struct Consensus {
    /// Writes.
    pub proposer: Proposer,
    /// Reads.
    pub reads: Reads,
    /// Who leads.
    pub leadership: Leadership,
    /// How far the others' clocks are from this one's.
    pub clocks: Clocks,
    /// What is told to the other nodes and never stored.
    pub whispers: Whispers,
    /// What the others remember of this node, and it of them.
    pub introductions: Introductions,
    raft: Raft,
    log: RaftLog,
    peers: Arc<Peers>,
    remover: Remover,
    own: watch::Sender<Member>,
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consensus").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}

/// Why consensus has stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A disk that failed, an entry that cannot be applied.
    Storage(String),
    /// The program is wrong somewhere.
    Defect(String),
}

/// Positions in the log, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexes {
    /// Newest entry in this node's log.
    pub last_log: Option<u64>,
    /// Known to be on a majority.
    pub committed: Option<u64>,
}

fn config(log: LogEntries) -> Config {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).expect("short durations fit");
    Config {
        cluster_name: "samira".into(),
        heartbeat_interval: ms(HEARTBEAT),
        election_timeout_min: ms(ELECTION_TIMEOUT_MIN),
        election_timeout_max: ms(ELECTION_TIMEOUT_MAX),
        max_payload_entries: 128,
        replication_lag_threshold: log.kept,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(log.between_snapshots),
        max_in_snapshot_log_to_keep: log.kept,
        purge_batch_size: 256,
        // See [`candidacy`].
        enable_elect: false,
        ..Config::default()
    }
}

impl Consensus {
    /// Opens the databases and starts everything. `completions` gets the outcomes of the service's writes, `whispered`
    /// what other nodes say in passing.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        ground: Ground,
        completions: mpsc::Sender<Vec<Completion>>,
        whispered: mpsc::Sender<whisper::Heard>,
    ) -> Result<Self, StartError> {
        let Ground { data, identity, socket, clock, alarm, listener, trust_data, listen, peers: given } = ground;
        let credentials = data.credentials(&identity)?;
        // Read here, so that a broken key is told before anything is served.
        let keeps_ca_key = data.authority()?.is_some();
        let (log_path, state_path) = (data.file("log.db"), data.file("state.db"));
        storage::check_files(&log_path, &state_path)?;
        let store = LogStore::open_as(&log_path, alarm.clone(), trust_data)?;
        let mut state = StateDb::open(&state_path)?;
        finish_received(&mut state, &state_path, &store)?;
        let log = RaftLog::open(store.clone(), identity.node)?;
        storage::check_positions(&state_path, state.applied(), log.purged_index())?;
        log.set_committed(state.applied());
        let introductions = Introductions::new(
            identity.node,
            identity.name.clone(),
            store.clone(),
            log.clone(),
            state.membership().1.nodes,
            trust_data,
        );
        let (removals_changed, removals) = watch::channel(Removals::default());
        state.observe_removals(move |removals| drop(removals_changed.send_replace(removals.clone())));
        if let Some(listener) = listener {
            state.tell(listener);
        }
        let files = Arc::new(StateFiles::open(&state_path, alarm.clone())?);
        let builder = SnapshotBuilder::new(files.clone());
        let applied = Arc::new(watch::Sender::new(state.applied().map(|id| id.index)));
        let (hashes, told) = (state.hashes().clone(), Told::default());
        let time = ClusterTime::default();
        if let Some(newest) = state.newest_message_ms()? {
            time.heard(newest);
        }
        let apply = ApplyThread::start(state, alarm.clone())?;
        let (flushes, stamped) = (log.flushes().clone(), time.clone());
        let machine = ChatStateMachine::new(apply, builder, applied.clone(), flushes, log.clone(), stamped);

        let server = Arc::new(PeerServer::default());
        let peers =
            endpoint::start(socket, &credentials, identity.node, server.clone(), Arc::new(introductions.clone()))?;
        let heard = Heard::new();
        let network =
            Network::new(peers.clone(), identity.node, log.flushes().clone(), introductions.promises().clone());
        let raft_error = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
        let config = Arc::new(config(LogEntries::from_environment()).validate().map_err(|error| raft_error(&error))?);
        let raft = Raft::new(identity.node, config, network.clone(), log.clone(), machine)
            .await
            .map_err(|error| raft_error(&error))?;
        network.know(&raft);

        let me = Member { id: identity.node, address: identity.address.clone(), name: identity.name.clone() };
        if identity.founder && !identity.begun && !raft.is_initialized().await.map_err(|error| raft_error(&error))? {
            let members = BTreeMap::from([(me.id, Peer::from_member(&me))]);
            raft.initialize(members).await.map_err(|error| raft_error(&error))?;
        }
        data.begun(&identity)?;

        let leadership =
            Leadership::new(identity.node, &raft, peers.clone(), heard.clone(), introductions.clone(), &alarm);
        let collector = Collector::start(raft.clone(), clock, time.clone(), leadership.clone(), &alarm);
        let proposer = ProposerTask::start(leadership.clone(), collector.clone(), store, completions, &alarm).await?;
        let reads = Reads::start(raft.clone(), leadership.clone(), applied.subscribe(), &alarm);
        let own = watch::Sender::new(me);
        // What an operator has named stays.
        if identity.advertise.is_none() && listen.ip().is_unspecified() {
            let follow = addresses::follow(own.clone(), listen, leadership.clone(), data.clone());
            alarm.guard("following this machine's address", follow);
        }
        let clocks = Clocks::new(leadership.clone(), time.clone());
        let doorkeeper = Doorkeeper {
            data: data.clone(),
            identity,
            proposer: proposer.clone(),
            leadership: leadership.clone(),
            reads: reads.clone(),
            clocks: clocks.clone(),
        };
        if !keeps_ca_key {
            tokio::spawn(doorkeeper.clone().fetch_ca_key(leadership.clone()));
        }
        let candidate = Candidate::new(raft.clone(), leadership.clone(), heard);
        alarm.guard("standing for election", candidate.clone().stand_when_due());
        let tend = membership::tend(raft.clone(), leadership.clone(), removals.clone(), candidate.clone());
        alarm.guard("tending the members", tend);
        let announce = addresses::announce(raft.clone(), leadership.clone(), own.subscribe());
        alarm.guard("announcing this server's address", announce);
        alarm.guard("telling addresses", addresses::tell(leadership.clone(), own.subscribe()));
        tokio::spawn(addresses::visit(leadership.clone(), given));
        let remover = Remover {
            leadership: leadership.clone(),
            proposer: proposer.clone(),
            reads: reads.clone(),
            data,
            removals,
        };
        server.fill(Parts {
            clocks: clocks.clone(),
            raft: raft.clone(),
            flushes: log.flushes().clone(),
            leadership: leadership.clone(),
            collector,
            doorkeeper,
            remover: remover.clone(),
            candidate,
            files,
            whispered,
            told: told.clone(),
        });
        tokio::spawn(comparison::keep_comparing(leadership.clone(), hashes, told));
        let whispers = Whispers::start(leadership.clone());
        Ok(Consensus { proposer, reads, leadership, clocks, whispers, introductions, raft, log, peers, remover, own })
    }

    /// Removes a member for good: the one called `who`, a name or an id in hexadecimal. `by` is the name of this server.
    ///
    /// # Errors
    /// Why it was not removed, for an operator.
    pub async fn remove(&self, who: &str, by: &str) -> Result<RemovedMember, String> {
        self.remover.remove(who, by).await
    }

    /// Where others reach this node now: `HOST:PORT`.
    pub fn address(&self) -> String {
        self.own.borrow().address.clone()
    }

    /// Who was removed, as far as this node has applied the log.
    pub fn removals(&self) -> Removals {
        self.remover.removals.borrow().clone()
    }

    /// Returns once this node was removed from its cluster, with the name of the server where that was asked for. The
    /// process must end.
    pub async fn removed(&self) -> String {
        self.remover.removed().await
    }

    /// Positions in the log; `committed` is unknown while consensus is ending.
    pub async fn indexes(&self) -> Indexes {
        // Also while a slow disk keeps consensus from answering.
        let asked = self.raft.with_raft_state(|state| state.committed);
        let committed = tokio::time::timeout(CALL_TIMEOUT, asked).await.ok().and_then(Result::ok).flatten();
        let index = |id: types::LogId| id.index;
        Indexes { last_log: self.log.last_index(), committed: committed.map(index) }
    }

    /// Returns when consensus has stopped by itself, with the reason. The process must end.
    pub async fn failed(&self) -> Failure {
        let mut ends = self.raft.server_metrics();
        let raft = async {
            // Everything else that openraft tells changes with every entry.
            while ends.changed().await.is_ok() {}
            match &self.raft.metrics().borrow().running_state {
                Err(Fatal::StorageError(error)) => Failure::Storage(error.to_string()),
                Err(fatal) => Failure::Defect(fatal.to_string()),
                Ok(()) => Failure::Defect("consensus has ended".into()),
            }
        };
        tokio::select! {
            reason = raft => reason,
            // openraft learns of it only with its next append.
            reason = self.log.flushes().failed() => Failure::Storage(reason),
        }
    }

    /// Stops voting and leading, then closes the links.
    pub async fn stop(&self) {
        self.log.write_promises().await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not end cleanly");
        }
        self.peers.close().await;
    }
}
