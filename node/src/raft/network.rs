//! openraft's network over [`crate::quic`]: the leader's and the candidate's half.
//!
//! A [`Link`] ends every wait by itself ([`super::runtime`] says why), at a time that follows the line: votes and appends
//! without entries after some round trips, appends with entries and snapshots when nothing has moved for long. While one
//! takes longer than a heartbeat, heartbeats go past it as datagrams, so that no follower misses its leader for the sake of
//! data. `docs/adr/0018-heartbeats-go-past-the-data.md` says more.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::metrics::RaftServerMetrics;
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{AnyError, Entry, OptionalSend, RPCTypes, ServerState, Snapshot};
use tokio::sync::watch;
use tokio::time::Instant;
use wire::limits::SNAPSHOT_CHUNK_BYTES;
use wire::replication::entry::LogId as WireLogId;
use wire::replication::rpc::{AppendOutcome, Datagram, PeerReply, PeerRequest};

use super::flushes::Flushes;
use super::snapshot::header_out;
use super::types::{Peer as Node, Raft, TypeConfig, Vote, entry_out, log_id_in, log_id_out, vote_in, vote_out};
use crate::limits::{
    APPEND_STALL, CALL_BACKSTOP, CORE_PATIENCE, ELECTION_TIMEOUT_MIN, HEARTBEAT, LONG_ROUND_TRIP, RAFT_BACKOFF,
    ROUND_TRIP_MAX, SNAPSHOT_PAUSE_MAX, SNAPSHOT_PAUSE_MIN, SNAPSHOT_STALL, SNAPSHOT_TIME_MAX,
};
use crate::quic::endpoint::Peers;
use crate::quic::peer::{CallError, Lane, Peer};
use crate::storage::entry::LogEntry;
use crate::storage::promises::Promises;

type RpcError<E = openraft::error::Infallible> = RPCError<u64, Node, RaftError<u64, E>>;

/// openraft, once it runs.
struct Core {
    raft: Raft,
    /// The office of this node, as openraft tells it.
    office: watch::Receiver<RaftServerMetrics<u64, Node>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Core(..)")
    }
}

/// Makes a [`Link`] per member.
#[derive(Debug, Clone)]
pub struct Network {
    peers: Arc<Peers>,
    node: u64,
    flushes: Flushes,
    promises: Promises,
    core: Arc<OnceLock<Core>>,
    links: Arc<AtomicU64>,
}

impl Network {
    /// For this node, over its peers.
    pub fn new(peers: Arc<Peers>, node: u64, flushes: Flushes, promises: Promises) -> Self {
        Network { peers, node, flushes, promises, core: Arc::default(), links: Arc::default() }
    }

    /// Learns whom it works for.
    pub fn know(&self, raft: &Raft) {
        // Only the first is kept: there is one openraft.
        let _ = self.core.set(Core { raft: raft.clone(), office: raft.server_metrics() });
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Node) -> Link {
        Link {
            peer: self.peers.get(target, &node.address),
            node: self.node,
            flushes: self.flushes.clone(),
            promises: self.promises.clone(),
            core: self.core.clone(),
            number: self.links.fetch_add(1, Relaxed) + 1,
            used: false,
            snapshot_pause: SNAPSHOT_PAUSE_MIN,
        }
    }
}

/// openraft's way to one member.
#[derive(Debug)]
pub struct Link {
    peer: Arc<Peer>,
    node: u64,
    flushes: Flushes,
    promises: Promises,
    core: Arc<OnceLock<Core>>,
    /// Grows from link to link.
    number: u64,
    /// Whether an append has gone over it. openraft asks several only of a link that it replicates over; what it asks before
    /// it answers a read has a link of its own.
    used: bool,
    /// Before the next copy is made, if this one is not taken.
    snapshot_pause: Duration,
}

/// The end of a wait without the answer to the call.
enum Ended {
    /// The call's own.
    Call(CallError),
    /// Nothing moves any more, or not soon enough.
    TimedOut,
    /// This node does not lead any more, not for this peer, or sends over a newer link.
    Replaced,
    /// The peer holds a newer vote.
    HigherVote(Vote),
}

/// For how long a call may go on.
enum Patience {
    /// Until then.
    Until(Instant),
    /// As long as something moves, with pauses of this length at most.
    WhileMoving(Duration),
}

impl Link {
    /// Fails in openraft's three kinds: unreachable (back off), timed out, anything else.
    fn error(&self, ended: Ended, action: RPCTypes, option: &RPCOption) -> RpcError {
        match ended {
            Ended::Call(CallError::Unreachable) => RPCError::Unreachable(Unreachable::new(&CallError::Unreachable)),
            Ended::Call(CallError::TimedOut) | Ended::TimedOut => {
                RPCError::Timeout(Timeout { action, id: self.node, target: self.peer.id(), timeout: option.hard_ttl() })
            }
            Ended::Call(CallError::Lost(error)) => RPCError::Network(NetworkError::new(&error)),
            Ended::Replaced | Ended::HigherVote(_) => RPCError::Network(NetworkError::new(&replaced())),
        }
    }

    /// Whether this node still leads by this vote, and the peer is a member.
    fn holds_office(&self, vote: &Vote) -> bool {
        self.core.get().is_none_or(|core| {
            let office = core.office.borrow();
            let is_member = office.membership_config.nodes().any(|(id, _)| *id == self.peer.id());
            office.state == ServerState::Leader && office.vote == *vote && is_member
        })
    }

    /// Returns when there is a connection; it is dialled all the time, so not for long.
    async fn connected(&self) -> Result<(), Ended> {
        tokio::time::timeout(HEARTBEAT, self.peer.wait_connected())
            .await
            .map_err(|_| Ended::Call(CallError::Unreachable))
    }

    /// The newer vote that the peer has told, if it has.
    fn higher_vote(&self, vote: &Vote) -> Option<Vote> {
        let heard = vote_in(self.peer.line().last_heard()?.vote);
        (heard > *vote).then_some(heard)
    }

    /// Waits for the answer to a leader's call. Meanwhile the peer is sent a heartbeat after each [`HEARTBEAT`]: nothing where
    /// the answer comes sooner.
    async fn attend<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
        vote: &Vote,
        leader_commit: Option<WireLogId>,
        patience: Patience,
    ) -> Result<T, Ended> {
        let mut call = pin!(call);
        let mut next = Instant::now() + HEARTBEAT;
        let (mut moved, mut moved_at) = (self.peer.moved(), Instant::now());
        loop {
            if let Ok(answer) = tokio::time::timeout_at(next, call.as_mut()).await {
                return answer.map_err(Ended::Call);
            }
            let now = Instant::now();
            next = (next + HEARTBEAT).max(now);
            if !self.holds_office(vote) {
                return Err(Ended::Replaced);
            }
            if let Some(higher) = self.higher_vote(vote) {
                return Err(Ended::HigherVote(higher));
            }
            match patience {
                Patience::Until(end) if now >= end => return Err(Ended::TimedOut),
                Patience::Until(_) => {}
                Patience::WhileMoving(pause) => {
                    if self.peer.line().is_sent_over_by_a_newer(self.number) {
                        return Err(Ended::Replaced);
                    }
                    if self.peer.moved() != moved {
                        (moved, moved_at) = (self.peer.moved(), now);
                    } else if now - moved_at >= pause {
                        return Err(Ended::TimedOut);
                    }
                }
            }
            self.peer.send_datagram(&Datagram::Heartbeat { vote: vote_out(vote), leader_commit });
        }
    }

    /// Returns when openraft's core has looked at what this link has told before, or is too busy for that.
    ///
    /// At a newer vote openraft ends its task for the peer. If the core still wants to send a copy of the state through it,
    /// because of an answer that has come before, it takes the task's end for a failed disk and stops for good (0.9.25:
    /// "replication channel closed"). So such an answer waits for those before it; twice, because one question to the
    /// core may overtake what its tasks report.
    async fn settle(&self) {
        let Some(Core { raft, .. }) = self.core.get() else { return };
        let settled = async {
            for _ in 0..2 {
                if raft.with_raft_state(|_| ()).await.is_err() {
                    return;
                }
            }
        };
        // Whoever is deposed has nothing to hurry for.
        let _ = tokio::time::timeout(CORE_PATIENCE, settled).await;
    }

    /// Whether an append without entries need not be waited for: the line is long, the peer has just now acknowledged this
    /// leader, and what the append says goes in a datagram. Otherwise every entry would wait for the answer to the heartbeat
    /// before it, a second round trip.
    fn goes_in_passing(&self, vote: &Vote) -> bool {
        let follows =
            |heard: crate::quic::line::Heard| vote_in(heard.vote) == *vote && heard.at.elapsed() < HEARTBEAT * 3;
        self.used && self.peer.round_trip() > LONG_ROUND_TRIP && self.peer.line().last_heard().is_some_and(follows)
    }

    /// As many of the entries as the line takes in a moment, at least one, and their weight.
    fn portion(&self, entries: &[Entry<TypeConfig>]) -> (Vec<LogEntry>, usize) {
        let most = self.peer.line().append_bytes();
        let (mut portion, mut bytes) = (Vec::with_capacity(entries.len()), 0);
        for entry in entries.iter().map(entry_out) {
            if bytes + entry.weight() > most && !portion.is_empty() {
                break;
            }
            bytes += entry.weight();
            portion.push(entry);
        }
        (portion, bytes)
    }

    async fn append(&self, rpc: &AppendEntriesRequest<TypeConfig>) -> Result<AppendEntriesResponse<u64>, Ended> {
        let line = self.peer.line();
        let leader_commit = rpc.leader_commit.as_ref().map(log_id_out);
        let (entries, bytes) = self.portion(&rpc.entries);
        let request = PeerRequest::Append {
            vote: vote_out(&rpc.vote),
            prev_log_id: rpc.prev_log_id.as_ref().map(log_id_out),
            leader_commit,
            entries: entries.iter().map(LogEntry::as_wire).collect(),
        };
        let round_trip = self.peer.round_trip();
        if line.is_slow_for_the_first_time(round_trip > ROUND_TRIP_MAX) {
            let peer = format_args!("{:016x}", self.peer.id());
            tracing::warn!(peer, ?round_trip, "the link is too long for writes to work as they should");
        }
        let begin = Instant::now();
        let (lane, patience) = if entries.is_empty() {
            (Lane::Heartbeat, Patience::Until(begin + ELECTION_TIMEOUT_MIN + 3 * round_trip))
        } else {
            line.send_as(self.number);
            (Lane::Append, Patience::WhileMoving(APPEND_STALL + 3 * round_trip))
        };
        if bytes * 2 > line.append_bytes() {
            // It will take a while, and nothing that goes past it later comes sooner than this.
            self.peer.send_datagram(&Datagram::Heartbeat { vote: vote_out(&rpc.vote), leader_commit });
        }
        let call = self.peer.call(lane, &request, CALL_BACKSTOP);
        let answer = self.attend(call, &rpc.vote, leader_commit, patience).await;
        if let (Err(Ended::TimedOut), Lane::Append) = (&answer, lane) {
            line.took_too_long();
            tracing::info!(
                peer = format_args!("{:016x}", self.peer.id()),
                bytes,
                ?round_trip,
                "nothing of an append has moved for long, sending less"
            );
        }
        let outcome = match answer? {
            PeerReply::Append(outcome) => outcome,
            other => return Err(Ended::Call(CallError::Lost(unexpected(&other)))),
        };
        if !entries.is_empty() {
            line.took(bytes, begin.elapsed());
        }
        line.heard(match outcome {
            AppendOutcome::HigherVote(vote) => vote,
            _ => vote_out(&rpc.vote),
        });
        if let AppendOutcome::Success = outcome {
            // It is on the follower's disk: an answer that does not wait for that must not be noted here.
            let sent = entries.last().map(|entry| entry.log_id);
            if let Some(upto) = sent.or(rpc.prev_log_id.as_ref().map(log_id_out)) {
                self.promises.promised(self.peer.id(), upto);
            }
        }
        Ok(match outcome {
            AppendOutcome::Success if entries.len() < rpc.entries.len() => {
                AppendEntriesResponse::PartialSuccess(entries.last().map(|entry| log_id_in(entry.log_id)))
            }
            AppendOutcome::Success => AppendEntriesResponse::Success,
            AppendOutcome::Partial(upto) => AppendEntriesResponse::PartialSuccess(upto.map(log_id_in)),
            AppendOutcome::Conflict => AppendEntriesResponse::Conflict,
            AppendOutcome::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_in(vote)),
        })
    }
}

fn replaced() -> io::Error {
    io::Error::other("this node does not lead any more, or sends over a newer link")
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
            // is committed, and apply it, before that copy is real. It nearly always is: the followers came later. And
            // whoever leads on a disk that hangs has to fall silent, so that another takes over.
            let flushed = tokio::time::timeout(HEARTBEAT, self.flushes.upto(commit.index)).await;
            let flushed = flushed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            flushed.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        }
        let failed = |ended| self.error(ended, RPCTypes::AppendEntries, &option);
        self.connected().await.map_err(failed)?;
        if rpc.entries.is_empty() && self.goes_in_passing(&rpc.vote) {
            let leader_commit = rpc.leader_commit.as_ref().map(log_id_out);
            self.peer.send_datagram(&Datagram::Heartbeat { vote: vote_out(&rpc.vote), leader_commit });
            return Ok(AppendEntriesResponse::Success);
        }
        let answer = match self.append(&rpc).await {
            Ok(answer) => Ok(answer),
            Err(Ended::HigherVote(vote)) => Ok(AppendEntriesResponse::HigherVote(vote)),
            Err(ended) => Err(failed(ended)),
        };
        if let Ok(AppendEntriesResponse::HigherVote(_)) = answer {
            self.settle().await;
        }
        self.used = true;
        answer
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Result<VoteResponse<u64>, RpcError> {
        let request =
            PeerRequest::Vote { vote: vote_out(&rpc.vote), last_log_id: rpc.last_log_id.as_ref().map(log_id_out) };
        let timeout = ELECTION_TIMEOUT_MIN + 2 * self.peer.round_trip();
        match self.peer.call(Lane::Vote, &request, timeout).await {
            Ok(PeerReply::Vote { vote, granted, last_log_id }) => {
                Ok(VoteResponse::new(vote_in(vote), last_log_id.map(log_id_in), granted))
            }
            Ok(other) => Err(RPCError::Network(NetworkError::new(&unexpected(&other)))),
            Err(error) => Err(self.error(Ended::Call(error), RPCTypes::Vote, &option)),
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
        let (pause, refused) = (self.snapshot_pause, AtomicBool::new(false));
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
            let call = self.peer.call_with_content(&request, content, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_TIME_MAX);
            match self.attend(call, &vote, None, Patience::WhileMoving(SNAPSHOT_STALL)).await {
                Ok(PeerReply::Snapshot { vote }) => Ok(SnapshotResponse::new(vote_in(vote))),
                Ok(other) => {
                    refused.store(true, Relaxed);
                    let reason = unexpected(&other);
                    tracing::warn!(peer = format_args!("{:016x}", self.peer.id()), %reason, "a snapshot was not taken");
                    Err(failed(&reason))
                }
                Err(Ended::HigherVote(vote)) => Ok(SnapshotResponse::new(vote)),
                Err(Ended::Call(CallError::Unreachable)) => {
                    Err(StreamingError::Unreachable(Unreachable::new(&CallError::Unreachable)))
                }
                Err(Ended::Call(error)) => Err(failed(&error)),
                Err(Ended::TimedOut) => Err(failed(&CallError::TimedOut)),
                Err(Ended::Replaced) => Err(failed(&replaced())),
            }
        };
        let paced = async {
            let result = transfer.await;
            if result.is_err() {
                // openraft tries again at once, and each attempt reads the whole state.
                tokio::time::sleep(pause).await;
            }
            result
        };
        let result = tokio::select! {
            result = paced => result,
            closed = cancel => Err(StreamingError::Closed(closed)),
        };
        if result.as_ref().is_ok_and(|response| response.vote > vote) {
            self.settle().await;
        }
        self.snapshot_pause =
            if refused.load(Relaxed) { (pause * 2).min(SNAPSHOT_PAUSE_MAX) } else { SNAPSHOT_PAUSE_MIN };
        result
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RAFT_BACKOFF))
    }
}
