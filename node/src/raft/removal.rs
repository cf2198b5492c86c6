//! Removing members for good.
//!
//! A removal is written into the log first (`Command::RemoveNode`) and then carried out by a change of the members,
//! which may still need the node's vote. Whoever leads carries out what is written ([`super::membership::tend`]), so a
//! leader that dies in between leaves nothing half done. Once the members are without it, nobody listens to the node:
//! its links are closed with the reason, and it ends by itself.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use wire::replication::command::{Command, Outcome};
use wire::replication::entry::Member;
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::leader::Leadership;
use super::propose::Proposer;
use super::read::{Freshness, Reads};
use crate::cluster::identity::DataDir;
use crate::limits::{CALL_TIMEOUT, MEMBERSHIP_PAUSE, REMOVAL_PATIENCE};
use crate::quic::peer::Lane;
use crate::storage::removals::Removals;

/// For an operator whose servers cannot be started.
const LOST_MAJORITY: &str = ". If they never come back, no command makes this cluster write again: keep this data directory, its \
    messages are in it and can be read here, and found a new cluster with another --data-dir";

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedMember {
    /// Who is gone.
    pub member: Member,
    /// Servers that vote now.
    pub voters: u32,
}

/// Removes members, on operators' demand.
#[derive(Debug, Clone)]
pub(super) struct Remover {
    pub(super) leadership: Leadership,
    pub(super) proposer: Proposer,
    pub(super) reads: Reads,
    pub(super) data: Arc<DataDir>,
    pub(super) removals: watch::Receiver<Removals>,
}

impl Remover {
    /// On any node: removes the member called `who`, a name or an id in hexadecimal. `by` is the server that was asked.
    pub(super) async fn remove(&self, who: &str, by: &str) -> Result<RemovedMember, String> {
        let deadline = Instant::now() + REMOVAL_PATIENCE;
        // An old list of members could hold the name of a node that has long been replaced.
        if self.reads.barrier().await == Freshness::Stale {
            let lost = if self.leadership.reaches_majority() { "" } else { LOST_MAJORITY };
            return Err(format!("nothing can be changed now: {}{lost}", self.leadership.waiting_for()));
        }
        let member = self.find(who)?;
        loop {
            let attempt = tokio::select! {
                attempt = tokio::time::timeout_at(deadline, self.attempt(member.id, by)) => attempt,
                // Whoever removes itself hears of it by being shut out.
                _ = self.removed(), if member.id == self.leadership.node() => {
                    return Ok(RemovedMember { voters: self.voters_without(member.id), member });
                }
            };
            match attempt {
                Ok(Some(Ok(voters))) => return Ok(RemovedMember { member, voters }),
                Ok(Some(Err(reason))) => return Err(reason),
                Ok(None) => {
                    self.leadership.pause(MEMBERSHIP_PAUSE).await;
                }
                Err(_) => {
                    return Err(format!(
                        "{} is not removed yet, ask again in a moment: {}",
                        member.name,
                        self.leadership.missing()
                    ));
                }
            }
        }
    }

    fn find(&self, who: &str) -> Result<Member, String> {
        let members = self.leadership.members();
        let called = |member: &Member| member.name == who || format!("{:016x}", member.id) == who;
        let found: Vec<&Member> = members.iter().map(|(member, _)| member).filter(|member| called(member)).collect();
        match found[..] {
            [one] => Ok(one.clone()),
            [] => {
                let removals = self.removals.borrow();
                if let Some((id, gone)) = removals.nodes.iter().find(|(_, gone)| gone.name == who) {
                    return Err(format!("{who} (id {id:016x}) was removed already, on {}", gone.by));
                }
                let names: Vec<String> =
                    members.iter().map(|(member, _)| format!("{} ({})", member.name, member.address)).collect();
                Err(format!("no server is called {who:?}; there are {}", names.join(", ")))
            }
            _ => {
                let reached = |id| match self.leadership.reaches(id) {
                    true => "reached",
                    false => "not reached",
                };
                let ids: Vec<String> = found
                    .iter()
                    .map(|member| format!("{:016x} ({}, {})", member.id, member.address, reached(member.id)))
                    .collect();
                Err(format!("{} servers are called {who}; say which by its id: {}", ids.len(), ids.join(", ")))
            }
        }
    }

    /// One try. `None` when there is no leader to be had; refusals are final.
    async fn attempt(&self, node: u64, by: &str) -> Option<Result<u32, String>> {
        let leader = self.leadership.leader()?;
        if leader == self.leadership.node() {
            return self.remove_as_leader(node, by).await;
        }
        let peer = self.leadership.peers().find(leader)?;
        match peer.call(Lane::Control, &PeerRequest::Remove { node, by }, REMOVAL_PATIENCE).await {
            Ok(PeerReply::Removed { voters }) => Some(Ok(voters)),
            Ok(PeerReply::Failed { reason }) => Some(Err(reason)),
            _ => None,
        }
    }

    /// On the leader: returns the number of voters left once the removal is carried out. `None` when this node does
    /// not lead any more.
    pub(super) async fn remove_as_leader(&self, node: u64, by: &str) -> Option<Result<u32, String>> {
        let written = self.removals.borrow().nodes.contains_key(&node);
        if !written {
            let members = self.leadership.members();
            let Some((member, voter)) = members.iter().find(|(member, _)| member.id == node) else {
                return Some(Err("not a member of this cluster".into()));
            };
            if *voter && let Err(objection) = self.could_go_on_without(member, &members).await {
                return Some(Err(objection));
            }
            match self.proposer.propose(&Command::RemoveNode { node, name: &member.name, by }).await {
                Ok(Outcome::Done) => {}
                Ok(other) => return Some(Err(format!("unexpected outcome {other:?}"))),
                Err(error) => return Some(Err(error.to_string())),
            }
        }
        let mut removals = self.removals.clone();
        tokio::select! {
            biased;
            gone = removals.wait_for(|removals| removals.outcast(node).is_some()) => gone.ok()?,
            () = self.leadership.not_any_more(self.leadership.node()) => return None,
            // Whoever asked has given up by then; what is written goes on.
            () = tokio::time::sleep(REMOVAL_PATIENCE) => return None,
        };
        Some(Ok(self.voters_without(node)))
    }

    fn voters_without(&self, node: u64) -> u32 {
        let members = self.leadership.members();
        let voters = members.iter().filter(|(member, voter)| *voter && member.id != node).count();
        u32::try_from(voters).unwrap_or(u32::MAX)
    }

    /// Returns once this replica knows that `node` is shut out, with the name of the server where that was asked for.
    pub(super) async fn shut_out(&self, node: u64) -> String {
        let mut removals = self.removals.clone();
        let by = match removals.wait_for(|removals| removals.outcast(node).is_some()).await {
            Ok(removals) => removals.outcast(node).map(|removed| removed.by.clone()),
            Err(_) => None,
        };
        match by {
            Some(by) => by,
            // The apply thread is gone; the process is about to end.
            None => std::future::pending().await,
        }
    }

    /// As [`Remover::shut_out`], of this node, which usually hears it from others.
    pub(super) async fn removed(&self) -> String {
        tokio::select! {
            by = self.shut_out(self.leadership.node()) => by,
            by = self.leadership.peers().removed() => by,
        }
    }

    /// Whether the others can decide without this voter, and let further servers in.
    async fn could_go_on_without(&self, leaving: &Member, members: &[(Member, bool)]) -> Result<(), String> {
        let name = &leaving.name;
        let staying: Vec<&Member> = members
            .iter()
            .filter(|(member, voter)| *voter && member.id != leaving.id)
            .map(|(member, _)| member)
            .collect();
        let away: Vec<String> = staying
            .iter()
            .filter(|member| !self.leadership.reaches(member.id))
            .map(|member| format!("{} ({})", member.name, member.address))
            .collect();
        let (all, here) = (staying.len(), staying.len() - away.len());
        if all == 0 {
            return Err(format!(
                "{name} is the only server that votes: to give up the cluster, stop it and delete its data directory"
            ));
        }
        if here < all / 2 + 1 {
            return Err(format!(
                "without {name} the cluster could not decide anything: {here} of the {all} other servers can be reached, \
                 {} are needed; start or remove first: {}",
                all / 2 + 1,
                away.join(", ")
            ));
        }
        for member in &staying {
            if self.holds_ca_key(member.id).await {
                return Ok(());
            }
        }
        Err(format!("no other server has received the cluster's key from {name} yet; ask again in a moment"))
    }

    async fn holds_ca_key(&self, node: u64) -> bool {
        if node == self.leadership.node() {
            return self.data.authority().is_ok_and(|authority| authority.is_some());
        }
        let Some(peer) = self.leadership.peers().find(node).filter(|peer| peer.is_connected()) else { return false };
        matches!(peer.call(Lane::Control, &PeerRequest::CaKey, CALL_TIMEOUT).await, Ok(PeerReply::CaKey { .. }))
    }
}
