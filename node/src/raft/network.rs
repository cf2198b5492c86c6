//! openraft's network over [`crate::quic`].

use std::future::Future;
use std::io;
use std::sync::Arc;

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{AnyError, OptionalSend, RPCTypes, Snapshot};
use wire::limits::SNAPSHOT_CHUNK_BYTES;
use wire::replication::rpc::{AppendOutcome, PeerReply, PeerRequest};

use super::flushes::Flushes;
use super::snapshot::header_out;
use super::types::{Peer as Node, TypeConfig, Vote, entry_out, log_id_in, log_id_out, vote_in, vote_out};
use crate::limits::{RAFT_BACKOFF, SNAPSHOT_TIMEOUT};
use crate::quic::endpoint::Peers;
use crate::quic::peer::{CallError, Lane, Peer};
use crate::storage::entry::LogEntry;
use crate::storage::promises::Promises;

type RpcError<E = openraft::error::Infallible> = RPCError<u64, Node, RaftError<u64, E>>;

/// Makes a [`Link`] per member.
#[derive(Debug, Clone)]
pub struct Network {
    peers: Arc<Peers>,
    node: u64,
    flushes: Flushes,
    promises: Promises,
}

impl Network {
    /// For this node, over its peers.
    pub fn new(peers: Arc<Peers>, node: u64, flushes: Flushes, promises: Promises) -> Self {
        Network { peers, node, flushes, promises }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Node) -> Link {
        let (flushes, promises) = (self.flushes.clone(), self.promises.clone());
        Link { peer: self.peers.get(target, &node.address), node: self.node, flushes, promises }
    }
}

/// openraft's way to one member.
#[derive(Debug)]
pub struct Link {
    peer: Arc<Peer>,
    node: u64,
    flushes: Flushes,
    promises: Promises,
}

impl Link {
    /// What went wrong, in openraft's three kinds: unreachable (back off), timed out, anything else.
    fn error(&self, error: CallError, action: RPCTypes, option: &RPCOption) -> RpcError {
        match error {
            CallError::Unreachable => RPCError::Unreachable(Unreachable::new(&error)),
            CallError::TimedOut => {
                RPCError::Timeout(Timeout { action, id: self.node, target: self.peer.id(), timeout: option.hard_ttl() })
            }
            CallError::Lost(error) => RPCError::Network(NetworkError::new(&error)),
        }
    }
}

fn unexpected(reply: &PeerReply) -> io::Error {
    match reply {
        PeerReply::Failed { reason } => io::Error::other(reason.clone()),
        _ => io::Error::other("the peer answered another question"),
    }
}

impl RaftNetwork<TypeConfig> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        if let Some(commit) = &rpc.leader_commit {
            // openraft counts this node's copy from the moment it was handed to the disk. Nobody may hear that an entry
            // is committed, and apply it, before that copy is real. It nearly always is: the followers came later.
            self.flushes.upto(commit.index).await.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        }
        let entries: Vec<LogEntry> = rpc.entries.iter().map(entry_out).collect();
        let request = PeerRequest::Append {
            vote: vote_out(&rpc.vote),
            prev_log_id: rpc.prev_log_id.as_ref().map(log_id_out),
            leader_commit: rpc.leader_commit.as_ref().map(log_id_out),
            entries: entries.iter().map(LogEntry::as_wire).collect(),
        };
        match self.peer.call(Lane::Append, &request, option.hard_ttl()).await {
            Ok(PeerReply::Append(outcome)) => Ok(match outcome {
                AppendOutcome::Success => {
                    if let Some(upto) =
                        entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id.map(|id| log_id_out(&id)))
                    {
                        self.promises.promised(self.peer.id(), upto);
                    }
                    AppendEntriesResponse::Success
                }
                AppendOutcome::Partial(upto) => AppendEntriesResponse::PartialSuccess(upto.map(log_id_in)),
                AppendOutcome::Conflict => AppendEntriesResponse::Conflict,
                AppendOutcome::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_in(vote)),
            }),
            Ok(other) => Err(RPCError::Network(NetworkError::new(&unexpected(&other)))),
            Err(error) => Err(self.error(error, RPCTypes::AppendEntries, &option)),
        }
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Result<VoteResponse<u64>, RpcError> {
        let request =
            PeerRequest::Vote { vote: vote_out(&rpc.vote), last_log_id: rpc.last_log_id.as_ref().map(log_id_out) };
        match self.peer.call(Lane::Vote, &request, option.hard_ttl()).await {
            Ok(PeerReply::Vote { vote, granted, last_log_id }) => {
                Ok(VoteResponse::new(vote_in(vote), last_log_id.map(log_id_in), granted))
            }
            Ok(other) => Err(RPCError::Network(NetworkError::new(&unexpected(&other)))),
            Err(error) => Err(self.error(error, RPCTypes::Vote, &option)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            StreamingError::Network(NetworkError::from(AnyError::error(error.to_string())))
        };
        let transfer = async {
            let file = tokio::task::spawn_blocking(move || snapshot.snapshot.into_file())
                .await
                .map_err(|error| failed(&error))?
                .map_err(|error| failed(&error))?;
            // The copy may be newer than what openraft asked for: it goes out under its own header.
            let meta = super::snapshot::meta(
                file.applied().map(log_id_in),
                super::types::stored_membership_in(file.membership()),
            );
            let header = header_out(&meta, file.bytes(), file.sha256());
            let content = file.open().map_err(|error| failed(&error))?;
            tracing::info!(peer = format_args!("{:016x}", self.peer.id()), bytes = file.bytes(), "sending a snapshot");
            let request = PeerRequest::Snapshot { vote: vote_out(&vote), header };
            match self.peer.call_with_content(&request, content, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_TIMEOUT).await {
                Ok(PeerReply::Snapshot { vote }) => Ok(SnapshotResponse::new(vote_in(vote))),
                Ok(other) => Err(failed(&unexpected(&other))),
                Err(CallError::Unreachable) => {
                    Err(StreamingError::Unreachable(Unreachable::new(&CallError::Unreachable)))
                }
                Err(error) => Err(failed(&error)),
            }
        };
        tokio::select! {
            result = transfer => result,
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RAFT_BACKOFF))
    }
}
