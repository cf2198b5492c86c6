//! What other nodes ask of this one.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use wire::limits::ADDRESSES_MAX;
use wire::replication::entry::Member;
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest};
use wire::replication::rpc::{AppendOutcome, Datagram, PeerReply, PeerRequest, Vote};
use wire::replication::{decode, encode};

use super::candidacy::Candidate;
use super::clocks::Clocks;
use super::collect::{Collector, NotCollected};
use super::comparison::Told;
use super::flushes::Flushes;
use super::incoming;
use super::leader::Leadership;
use super::membership::{self, Doorkeeper};
use super::removal::Remover;
use super::types::Raft;
use super::{propose, read, whisper};
use crate::config::resolved::is_host_port;
use crate::env::Clock;
use crate::limits::{CALL_TIMEOUT, JOIN_TIMEOUT, RETRY_PAUSE};
use crate::quic::endpoint::{Admission, Content, Handler};
use crate::quic::peer::Lane;
use crate::storage::snapshot::StateFiles;

/// Everything an answer may need.
pub(super) struct Parts {
    pub(super) raft: Raft,
    pub(super) flushes: Flushes,
    pub(super) leadership: Leadership,
    pub(super) clocks: Clocks,
    pub(super) collector: Collector,
    pub(super) doorkeeper: Doorkeeper,
    pub(super) remover: Remover,
    pub(super) candidate: Candidate,
    pub(super) files: Arc<StateFiles>,
    pub(super) whispered: mpsc::Sender<whisper::Heard>,
    pub(super) told: Told,
}

/// Answers peers. The endpoint needs it before the engine exists, so it is filled in after.
#[derive(Default)]
pub(super) struct PeerServer {
    parts: OnceLock<Parts>,
}

impl PeerServer {
    pub(super) fn fill(&self, parts: Parts) {
        assert!(self.parts.set(parts).is_ok(), "filled in once, at start");
    }
}

impl Handler for PeerServer {
    /// A valid certificate of this cluster is enough, unless its node was removed: this node's own view of the members
    /// may be old.
    fn admits(&self, node: u64) -> Admission {
        let Some(parts) = self.parts.get() else { return Admission::NotYet };
        match parts.remover.removals.borrow().outcast(node) {
            None => Admission::Admitted,
            Some(removed) => Admission::Removed(removed.by.clone()),
        }
    }

    async fn removed(&self, node: u64) -> String {
        let Some(parts) = self.parts.get() else { return std::future::pending().await };
        parts.remover.shut_out(node).await
    }

    fn arrived(&self, node: u64) {
        let Some(parts) = self.parts.get() else { return };
        if let Some(peer) = parts.leadership.peers().find(node) {
            peer.arrived();
            parts.clocks.look_at(node);
        }
    }

    async fn handle(&self, from: u64, request: &[u8], content: Content<'_>) -> Option<PeerReply> {
        let parts = self.parts.get()?;
        if parts.leadership.introductions().verdict().is_passed() {
            // It has forgotten promises and is about to end: it makes no new ones.
            return None;
        }
        let reply = match decode(request) {
            Ok(request) => parts.answer(from, request, content).await,
            Err(error) => PeerReply::Failed { reason: format!("the request makes no sense: {error}") },
        };
        // Found out meanwhile: what was to be acknowledged is not kept.
        (!parts.leadership.introductions().verdict().is_passed()).then_some(reply)
    }

    async fn datagram(&self, from: u64, datagram: Datagram) -> Option<Datagram> {
        let parts = self.parts.get()?;
        if parts.leadership.introductions().verdict().is_passed() {
            return None;
        }
        match datagram {
            Datagram::Heartbeat { vote, leader_commit } if vote.node == from => {
                parts.hear(vote);
                if parts.leadership.introductions().is_contradicted(vote.node, None, leader_commit) {
                    return None;
                }
                incoming::heartbeat(&parts.raft, vote, leader_commit).await
            }
            Datagram::Heartbeat { .. } | Datagram::Heard { .. } => None,
        }
    }

    async fn join(&self, from: SocketAddr, mut request: JoinRequest) -> JoinReply {
        let Some(parts) = self.parts.get() else {
            return JoinReply::Refused(JoinRefusal::Busy { reason: "the server is starting".into() });
        };
        if let Some(port) = request.member.address.strip_prefix(':') {
            request.member.address = match port.parse() {
                Ok(port) => SocketAddr::new(from.ip(), port).to_string(),
                Err(_) => return JoinReply::Refused(JoinRefusal::BadRequest),
            };
        }
        let mut leadership = parts.leadership.clone();
        let attempts = async {
            loop {
                if let Some(reply) = parts.try_join(&request).await {
                    return reply;
                }
                let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
            }
        };
        match tokio::time::timeout(JOIN_TIMEOUT / 2, attempts).await {
            Ok(reply) => reply,
            Err(_) => JoinReply::Refused(JoinRefusal::Busy { reason: parts.leadership.missing() }),
        }
    }
}

impl Parts {
    async fn answer(&self, from: u64, request: PeerRequest<'_>, content: Content<'_>) -> PeerReply {
        match request {
            PeerRequest::Vote { last_log_id, .. } if !self.leadership.may_vote(last_log_id) => PeerReply::Failed {
                reason: "it has not heard from every voter since its start, or has lost something".into(),
            },
            PeerRequest::Vote { vote, last_log_id } => {
                let reply = incoming::vote(&self.raft, vote, last_log_id).await;
                if matches!(reply, PeerReply::Vote { granted: true, .. }) {
                    self.candidate.heard().voted();
                }
                reply
            }
            PeerRequest::PreVote { last_log_id, dead } => {
                PeerReply::PreVote { granted: self.candidate.would_vote(last_log_id, dead) }
            }
            PeerRequest::Append { vote, prev_log_id, leader_commit, entries } => {
                // At its arrival: the answer waits for the disk, which may be slow.
                self.hear(vote);
                let introductions = self.leadership.introductions();
                if introductions.is_contradicted(vote.node, prev_log_id, leader_commit) {
                    return PeerReply::Failed { reason: "the entries contradict what is committed here".into() };
                }
                let reply =
                    incoming::append(&self.raft, &self.flushes, vote, prev_log_id, leader_commit, entries).await;
                if matches!(reply, PeerReply::Append(AppendOutcome::Success)) {
                    introductions.caught_up(vote.term, leader_commit);
                    if let Some(commit) = leader_commit.filter(|_| vote.node == from) {
                        // It has this on disk itself, or it would not call it committed.
                        introductions.promises().promised(from, commit);
                    }
                }
                reply
            }
            PeerRequest::Snapshot { vote, header } => {
                let introductions = self.leadership.introductions();
                incoming::snapshot(&self.raft, &self.files, introductions, vote, header, content).await
            }
            PeerRequest::Forward { runs } => {
                if !self.leads() {
                    return self.not_leader();
                }
                match propose::forwarded(&self.collector, runs).await {
                    Ok(outcomes) => PeerReply::Forwarded { outcomes },
                    Err(NotCollected::Refused) => PeerReply::Overloaded,
                    Err(NotCollected::Unknown) => PeerReply::Failed { reason: "the outcome is not known".into() },
                }
            }
            PeerRequest::ReadIndex => {
                if !self.leads() {
                    return self.not_leader();
                }
                match read::read_index(&self.raft).await {
                    Some(index) => PeerReply::ReadIndex { index },
                    None => self.not_leader(),
                }
            }
            PeerRequest::CaKey => match self.doorkeeper.ca_key_for(from, &self.leadership) {
                Some(pem) => PeerReply::CaKey { pem },
                None => PeerReply::Failed { reason: "not a voter, or the key is not here".into() },
            },
            PeerRequest::Announce { member } => {
                if !self.leads() {
                    // The member itself may not reach the leader. Passed on once, so that it never goes round.
                    return if member.id == from { self.pass_on(member).await } else { self.not_leader() };
                }
                match membership::update_member(&self.raft, member).await {
                    Ok(()) => PeerReply::Done,
                    Err(reason) => PeerReply::Failed { reason },
                }
            }
            PeerRequest::Join { request } => {
                if !self.leads() {
                    return self.not_leader();
                }
                match decode::<JoinRequest>(request) {
                    Ok(request) => PeerReply::Join { reply: encode(&self.doorkeeper.admit(&self.raft, request).await) },
                    Err(_) => PeerReply::Join { reply: encode(&JoinReply::Refused(JoinRefusal::BadRequest)) },
                }
            }
            PeerRequest::States { places } => {
                self.told.note(from, places);
                PeerReply::Done
            }
            PeerRequest::Whispers { whispers } => {
                // Where the service does not keep up nothing is lost that matters.
                let _ = self.whispered.try_send((from, whispers));
                PeerReply::Done
            }
            PeerRequest::Reaches { node } => PeerReply::Reaches { linked: self.leadership.reaches(node) },
            PeerRequest::Clock => PeerReply::Clock { time_ms: Clock.unix_ms(), stamp_ms: self.clocks.stamp_ms() },
            PeerRequest::Addresses { known } => {
                let plausible = known.into_iter().take(ADDRESSES_MAX).filter(|known| is_host_port(&known.address));
                self.leadership.peers().told(from, &plausible.collect::<Vec<_>>());
                PeerReply::Done
            }
            PeerRequest::Remove { node, by } => {
                if !self.leads() {
                    return self.not_leader();
                }
                match self.remover.remove_as_leader(node, by).await {
                    Some(Ok(voters)) => PeerReply::Removed { voters },
                    Some(Err(reason)) => PeerReply::Failed { reason },
                    None => self.not_leader(),
                }
            }
        }
    }

    /// A leader has spoken, if it is none of a term that is over.
    fn hear(&self, vote: Vote) {
        if vote.term >= self.leadership.role().1 {
            self.candidate.heard().leader();
        }
    }

    /// Lets a newcomer in, or asks the leader to. `None` when there is no leader to be had.
    async fn try_join(&self, request: &JoinRequest) -> Option<JoinReply> {
        let leader = self.leadership.leader()?;
        if leader == self.leadership.node() {
            return Some(self.doorkeeper.admit(&self.raft, request.clone()).await);
        }
        let peer = self.leadership.peers().find(leader)?;
        let forward = PeerRequest::Join { request: &encode(request) };
        match peer.call(Lane::Control, &forward, JOIN_TIMEOUT / 2).await {
            Ok(PeerReply::Join { reply }) => decode(&reply).ok(),
            _ => None,
        }
    }

    /// Hands the leader what a member announces.
    async fn pass_on(&self, member: Member) -> PeerReply {
        let leader = self.leadership.leader().and_then(|leader| self.leadership.peers().find(leader));
        let Some(leader) = leader else { return self.not_leader() };
        let announce = PeerRequest::Announce { member };
        leader.call(Lane::Control, &announce, CALL_TIMEOUT).await.unwrap_or_else(|_| self.not_leader())
    }

    fn leads(&self) -> bool {
        self.leadership.leader() == Some(self.leadership.node())
    }

    fn not_leader(&self) -> PeerReply {
        PeerReply::NotLeader { leader: self.leadership.leader() }
    }
}
