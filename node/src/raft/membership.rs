//! Members: newcomer → learner → caught up → voter → removed ([`super::removal`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::ChangeMembers;
use tokio::sync::watch;
use wire::replication::command::{Command, Outcome, Refusal};
use wire::replication::entry::Member;
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest};
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::candidacy::Candidate;
use super::clocks::Clocks;
use super::leader::{Leadership, members};
use super::newcomer::answers;
use super::office::in_office;
use super::propose::Proposer;
use super::read::Reads;
use super::succession::Watch;
use super::types::{Peer, Raft};
use crate::cluster::code::JoinCode;
use crate::cluster::identity::{DataDir, Identity};
use crate::cluster::{takes_place_of, valid_name};
use crate::config::resolved::is_host_port;
use crate::limits::{CALL_TIMEOUT, CATCH_UP_ENTRIES, MEMBERSHIP_PATIENCE, MEMBERSHIP_PAUSE};
use crate::quic::peer::Lane;
use crate::storage::removals::Removals;

/// Decides who is let in, on the leader, and keeps the cluster's key, on voters.
#[derive(Debug, Clone)]
pub(super) struct Doorkeeper {
    pub(super) data: Arc<DataDir>,
    pub(super) identity: Arc<Identity>,
    pub(super) proposer: Proposer,
    pub(super) leadership: Leadership,
    pub(super) reads: Reads,
    pub(super) clocks: Clocks,
}

impl Doorkeeper {
    /// Lets a newcomer in as a learner. The code is consumed by a committed entry first, so it works once in the whole
    /// cluster; the same node may repeat the request, whose answer may have been lost.
    pub(super) async fn admit(&self, raft: &Raft, request: JoinRequest) -> JoinReply {
        match self.try_admit(raft, request).await {
            Ok(reply) => reply,
            Err(refusal) => JoinReply::Refused(refusal),
        }
    }

    async fn try_admit(&self, raft: &Raft, request: JoinRequest) -> Result<JoinReply, JoinRefusal> {
        let busy = |reason: String| JoinRefusal::Busy { reason };
        let member = request.member.clone();
        let plausible = member.id != 0 && is_host_port(&member.address) && valid_name(&member.name);
        if !plausible {
            return Err(JoinRefusal::BadRequest);
        }
        let authority = self
            .data
            .authority()
            .map_err(|error| busy(error.to_string()))?
            .ok_or_else(|| busy("the leader has not received the cluster's key yet".into()))?;
        // Before the code is used up: a damaged request must not cost it.
        let certificate =
            authority.sign(&request.csr, member.id, &self.identity.cluster_id).map_err(|_| JoinRefusal::BadRequest)?;
        // So must a name that is taken, or a way that is barred.
        let replaced = self.check(&request).await?;
        let consume = Command::ConsumeJoinCode { hash: JoinCode::hash(&request.secret), node: member.id };
        match self.proposer.propose(&consume).await {
            Ok(Outcome::Refused(Refusal::CodeUnknown)) => return Err(JoinRefusal::CodeUnknown),
            Ok(Outcome::Refused(Refusal::CodeExpired)) => return Err(JoinRefusal::CodeExpired),
            Ok(Outcome::Refused(Refusal::CodeUsed)) => return Err(JoinRefusal::CodeUsed),
            Ok(Outcome::Refused(Refusal::NodeRemoved)) => return Err(JoinRefusal::Removed),
            Ok(Outcome::Done) => {}
            Ok(other) => return Err(busy(format!("unexpected outcome {other:?}"))),
            Err(error) => return Err(busy(error.to_string())),
        }
        let known = |raft: &Raft| members(&raft.server_metrics().borrow().membership_config);
        if !known(raft).iter().any(|(other, _)| other.id == member.id) {
            let add = raft.add_learner(member.id, Peer::from_member(&member), false);
            in_office(raft, MEMBERSHIP_PATIENCE, add)
                .await
                .map_err(|unanswered| busy(unanswered.to_string()))?
                .map_err(|error| busy(error.to_string()))?;
        }
        tracing::info!(node = format_args!("{:016x}", member.id), member.name, member.address, "a node joins");
        for old in replaced {
            // Written down before it is done, and after the newcomer is listed: what is written is carried out at once, and
            // in one step with the newcomer's vote only where a newcomer is seen.
            let remove = Command::RemoveNode { node: old.id, name: &old.name, by: &self.identity.name };
            match self.proposer.propose(&remove).await {
                Ok(Outcome::Done) => {}
                Ok(other) => return Err(busy(format!("unexpected outcome {other:?}"))),
                Err(error) => return Err(busy(error.to_string())),
            }
            tracing::warn!(old = format_args!("{:016x}", old.id), old.name, old.address, "the node takes its place");
        }
        Ok(JoinReply::Admitted {
            cluster_id: self.identity.cluster_id.clone(),
            cluster_name: self.identity.cluster_name.clone(),
            certificate: certificate.to_vec(),
            address: member.address,
            members: known(raft).into_iter().map(|(member, _)| member).collect(),
        })
    }

    /// The cluster's key, for voters only.
    pub(super) fn ca_key_for(&self, node: u64, leadership: &Leadership) -> Option<String> {
        let voter = leadership.members().iter().any(|(member, voter)| member.id == node && *voter);
        if !voter {
            return None;
        }
        self.data.authority().ok()?.map(|authority| authority.key_pem())
    }

    /// Gets the cluster's key once this node votes.
    pub(super) async fn fetch_ca_key(self, mut leadership: Leadership) {
        loop {
            let members = leadership.members();
            let me = leadership.node();
            if members.iter().any(|(member, voter)| member.id == me && *voter) {
                for (member, _) in members.iter().filter(|(member, voter)| *voter && member.id != me) {
                    let Some(peer) = leadership.peers().find(member.id) else { continue };
                    if let Ok(PeerReply::CaKey { pem }) =
                        peer.call(Lane::Control, &PeerRequest::CaKey, CALL_TIMEOUT).await
                    {
                        match self.data.keep_authority(&pem) {
                            Ok(()) => return,
                            Err(error) => tracing::warn!(%error, "cannot keep the cluster's key"),
                        }
                    }
                }
            }
            let _ = tokio::time::timeout(MEMBERSHIP_PAUSE, leadership.changed()).await;
        }
    }
}

/// On the leader, makes learners that have caught up voters and carries out removals; everywhere, keeps links and watches
/// in step with the members.
pub(super) async fn tend(
    raft: Raft,
    mut leadership: Leadership,
    mut removals: watch::Receiver<Removals>,
    candidate: Candidate,
) {
    let mut watch = Watch::new(candidate);
    let mut logged = None;
    loop {
        let (role, term) = leadership.role();
        let led = leadership.leader().map(|leader| (leader, term));
        if led != logged {
            match led {
                Some((leader, _)) => {
                    tracing::info!(leader = format_args!("{leader:016x}"), term, role, "leader known");
                }
                None => tracing::info!(term, role, missing = leadership.missing(), "no leader is known"),
            }
            logged = led;
        }
        let members = leadership.members();
        let me = leadership.node();
        let is_member = |id| members.iter().any(|(member, _)| member.id == id);
        leadership.peers().retain(is_member);
        leadership.introductions().set_members(&members);
        watch.retain(is_member);
        for (member, _) in members.iter().filter(|(member, _)| member.id != me) {
            leadership.peers().get(member.id, &member.address);
            watch.keep(member.id);
        }
        let written: BTreeSet<u64> = removals.borrow_and_update().nodes.keys().copied().collect();
        leadership.introductions().promises().retain(|id| !written.contains(&id));
        let linked = |id| leadership.reaches(id);
        let next = if leadership.leader() == Some(me) { next_change(&raft, &members, &written, linked) } else { None };
        match next {
            None => tokio::select! {
                () = leadership.changed() => {}
                changed = removals.changed() => if changed.is_err() { return },
            },
            Some(next) => {
                if let Some(change) = next
                    && newcomer_answers(&leadership, &members, &change).await
                {
                    make(&raft, change).await;
                }
                let _ = tokio::time::timeout(MEMBERSHIP_PAUSE, leadership.changed()).await;
            }
        }
    }
}

/// What the leader has to change about the members: `None` for nothing, `Some(None)` for something, but not yet.
fn next_change(
    raft: &Raft,
    members: &[(Member, bool)],
    removed: &BTreeSet<u64>,
    linked: impl Fn(u64) -> bool,
) -> Option<Option<ChangeMembers<u64, Peer>>> {
    if raft.server_metrics().borrow().membership_config.membership().get_joint_config().len() > 1 {
        // A leader died between the two steps of a change: two majorities are asked for until the second is made.
        return Some(Some(ChangeMembers::AddVoterIds(BTreeSet::new())));
    }
    let leaving = |voting| {
        let chosen = members.iter().filter(|(member, voter)| *voter == voting && removed.contains(&member.id));
        chosen.map(|(member, _)| member.id).collect::<BTreeSet<u64>>()
    };
    let (voters, learners) = (leaving(true), leaving(false));
    if !learners.is_empty() {
        return Some(Some(ChangeMembers::RemoveNodes(learners)));
    }
    if !voters.is_empty() {
        return match heir(members, &voters, &linked) {
            None => Some(Some(ChangeMembers::RemoveVoters(voters))),
            // Its vote comes in the same step in which the dead one's goes: never is there a vote more to be won.
            Some(heir) if caught_up(raft, heir) => {
                let staying = members.iter().filter(|(member, voter)| *voter && !voters.contains(&member.id));
                let all = staying.map(|(member, _)| member.id).chain([heir]).collect();
                Some(Some(ChangeMembers::ReplaceAllVoters(all)))
            }
            Some(_) => Some(None),
        };
    }
    let learners: Vec<u64> = members.iter().filter(|(_, voter)| !voter).map(|(member, _)| member.id).collect();
    if learners.is_empty() {
        return None;
    }
    // A vote of somebody who is not reached is a vote that is missing.
    let ready = learners.into_iter().find(|&learner| linked(learner) && caught_up(raft, learner));
    Some(ready.map(|learner| ChangeMembers::AddVoterIds([learner].into())))
}

/// The learner that is on its way to take the place of a voter that is leaving and is not reached. Whoever leaves while it
/// runs leaves at once, and whoever comes to nothing is not waited for.
fn heir(members: &[(Member, bool)], leaving: &BTreeSet<u64>, linked: impl Fn(u64) -> bool) -> Option<u64> {
    let gone: Vec<&Member> =
        members.iter().map(|(member, _)| member).filter(|member| leaving.contains(&member.id)).collect();
    if gone.iter().any(|member| linked(member.id)) {
        return None;
    }
    let mut learners = members.iter().filter(|(_, voter)| !voter).map(|(member, _)| member);
    let heir = learners.find(|learner| linked(learner.id) && gone.iter().any(|old| takes_place_of(learner, true, old)));
    heir.map(|heir| heir.id)
}

/// Whether those that a change gives a vote answer now: a link may outlive its process for a moment, and what was
/// replicated to it before says nothing.
async fn newcomer_answers(
    leadership: &Leadership,
    members: &[(Member, bool)],
    change: &ChangeMembers<u64, Peer>,
) -> bool {
    let voting = match change {
        ChangeMembers::AddVoterIds(ids) | ChangeMembers::ReplaceAllVoters(ids) => ids,
        _ => return true,
    };
    for &id in voting {
        let learner = members.iter().any(|(member, voter)| member.id == id && !voter);
        if learner && !answers(leadership, id).await {
            return false;
        }
    }
    true
}

async fn make(raft: &Raft, change: ChangeMembers<u64, Peer>) {
    // Who stops to vote leaves altogether; nothing else is dropped on the way.
    let retain = !matches!(change, ChangeMembers::RemoveVoters(_) | ChangeMembers::ReplaceAllVoters(_));
    match in_office(raft, MEMBERSHIP_PATIENCE, raft.change_membership(change.clone(), retain)).await {
        Ok(Ok(_)) => tracing::info!(?change, "the members have changed"),
        Ok(Err(error)) => tracing::debug!(%error, ?change, "the members cannot be changed yet"),
        Err(reason) => tracing::debug!(%reason, ?change, "it is not known whether the members will change"),
    }
}

fn caught_up(raft: &Raft, learner: u64) -> bool {
    let metrics = raft.data_metrics();
    let metrics = metrics.borrow();
    let Some(last) = metrics.last_log.map(|id| id.index) else { return false };
    let matched =
        metrics.replication.as_ref().and_then(|replication| replication.get(&learner)).and_then(Option::as_ref);
    matched.is_some_and(|matched| matched.index + CATCH_UP_ENTRIES >= last)
}

/// On the leader: lists a member under a new address or name.
pub(super) async fn update_member(raft: &Raft, member: Member) -> Result<(), String> {
    let current = members(&raft.server_metrics().borrow().membership_config);
    match current.into_iter().find(|(other, _)| other.id == member.id) {
        None => return Err("not a member of this cluster".into()),
        Some((known, _)) if known == member => return Ok(()),
        Some(_) => {}
    }
    let nodes = BTreeMap::from([(member.id, Peer::from_member(&member))]);
    let change = raft.change_membership(ChangeMembers::SetNodes(nodes), true);
    match in_office(raft, MEMBERSHIP_PATIENCE, change).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(unanswered) => Err(unanswered.to_string()),
    }
}
