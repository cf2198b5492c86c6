//! Who leads, and what is missing when nobody does.

use std::sync::Arc;
use std::time::Duration;

use openraft::StoredMembership;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::watch;
use wire::replication::entry::Member;

use super::candidacy::Heard;
use super::introductions::Introductions;
use super::types::{Peer, Raft, vote_out};
use crate::limits::{LEADER_SILENCE, ROUND_TRIP_MAX};
use crate::quic::endpoint::Peers;

/// A view of the cluster from this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    node: u64,
    metrics: watch::Receiver<RaftServerMetrics<u64, Peer>>,
    peers: Arc<Peers>,
    heard: Heard,
    introductions: Introductions,
}

impl Leadership {
    pub(super) fn new(node: u64, raft: &Raft, peers: Arc<Peers>, heard: Heard, introductions: Introductions) -> Self {
        Leadership { node, metrics: raft.server_metrics(), peers, heard, introductions }
    }

    /// What this node and the others remember of each other.
    pub fn introductions(&self) -> &Introductions {
        &self.introductions
    }

    /// Whether this node has heard enough from the other voters to vote.
    pub(super) fn may_vote(&self) -> bool {
        self.introductions.may_vote(self.voters())
    }

    /// The newest rule level that every voter can apply.
    pub fn rule_level(&self) -> u16 {
        self.introductions.rule_level(self.voters())
    }

    /// All voters, of both sets during a change.
    fn voters(&self) -> Vec<u64> {
        self.metrics.borrow().membership_config.membership().voter_ids().collect()
    }

    /// This node.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// The links to the others.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The leader, as far as this node knows. A voter that has heard nothing of it for long enough to look for another
    /// one knows none.
    pub fn leader(&self) -> Option<u64> {
        let metrics = self.metrics.borrow();
        let leader = metrics.current_leader?;
        let learner = metrics.state == openraft::ServerState::Learner;
        (leader == self.node || learner || self.heard.leader_within(LEADER_SILENCE)).then_some(leader)
    }

    /// Role (`leader`, `follower`, `candidate`, `learner`) and term of this node.
    pub fn role(&self) -> (&'static str, u64) {
        let metrics = self.metrics.borrow();
        let role = match metrics.state {
            openraft::ServerState::Leader => "leader",
            openraft::ServerState::Candidate => "candidate",
            openraft::ServerState::Learner => "learner",
            openraft::ServerState::Follower | openraft::ServerState::Shutdown => "follower",
        };
        (role, metrics.vote.leader_id.term)
    }

    /// Returns when anything about leader or members has changed.
    pub async fn changed(&mut self) {
        if self.metrics.changed().await.is_err() {
            // openraft has ended; the process is about to.
            std::future::pending::<()>().await;
        }
    }

    /// Returns once this node does not take `leader` for the leader any more.
    pub async fn not_any_more(&self, leader: u64) {
        self.wait_for(|metrics| metrics.current_leader != Some(leader)).await;
    }

    /// Returns once this node knows another leader than `dead`.
    pub async fn led_by_another(&self, dead: u64) {
        self.wait_for(|metrics| metrics.current_leader.is_some_and(|leader| leader != dead)).await;
    }

    /// Returns once there is a leader.
    pub async fn led(&self) {
        self.wait_for(|metrics| metrics.current_leader.is_some()).await;
    }

    async fn wait_for(&self, condition: impl FnMut(&RaftServerMetrics<u64, Peer>) -> bool) {
        let gone = self.metrics.clone().wait_for(condition).await.is_err();
        if gone {
            std::future::pending::<()>().await;
        }
    }

    /// Whether this node has a link to a member now; to itself always.
    pub fn reaches(&self, member: u64) -> bool {
        member == self.node || self.peers.find(member).is_some_and(|peer| peer.is_connected())
    }

    /// Whether this node has links to enough voters to decide anything with them.
    pub fn reaches_majority(&self) -> bool {
        let voters = self.deciding();
        voters.iter().filter(|&&voter| self.reaches(voter)).count() > voters.len() / 2
    }

    /// Whether this node leads, and a majority of the voters has said within this time that it follows.
    pub fn is_followed_within(&self, time: Duration) -> bool {
        let (vote, leads) = {
            let metrics = self.metrics.borrow();
            (vote_out(&metrics.vote), metrics.state == openraft::ServerState::Leader)
        };
        let follows = |voter: u64| {
            let heard = self.peers.find(voter).and_then(|peer| peer.line().last_heard());
            voter == self.node || heard.is_some_and(|heard| heard.vote == vote && heard.at.elapsed() < time)
        };
        let voters = self.deciding();
        leads && voters.iter().filter(|voter| follows(**voter)).count() > voters.len() / 2
    }

    /// The round trip to the nearest majority of the voters: how long they need at least to decide something.
    pub fn round_trip(&self) -> Duration {
        let time = |voter: &u64| self.peers.find(*voter).map_or(Duration::ZERO, |peer| peer.round_trip());
        let mut times: Vec<Duration> = self.deciding().iter().map(time).collect();
        times.sort_unstable();
        // This node is among them, and nearest.
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// For a person: the links that take longer than everything else is made for.
    pub fn slow_links(&self) -> Vec<String> {
        let slow = |member: Member| {
            let time = self.peers.find(member.id).filter(|peer| peer.is_connected())?.round_trip();
            (time > ROUND_TRIP_MAX).then(|| slow_link(&member.name, time))
        };
        self.members().into_iter().filter_map(|(member, _)| slow(member)).collect()
    }

    /// The voters that count now: during a change those before it.
    fn deciding(&self) -> Vec<u64> {
        self.members().iter().filter(|(_, voter)| *voter).map(|(member, _)| member.id).collect()
    }

    /// Members in order of their ids, each with whether it votes.
    pub fn members(&self) -> Vec<(Member, bool)> {
        members(&self.metrics.borrow().membership_config)
    }

    /// How many voters there are, are needed, and are reached from here.
    pub fn quorum(&self) -> Quorum {
        let voters = self.members().into_iter().filter(|(_, voter)| *voter).map(|(member, _)| member);
        let (here, away): (Vec<_>, Vec<_>) = voters.partition(|member| self.reaches(member.id));
        let all = here.len() + away.len();
        let away = away.into_iter().map(|member| format!("{} ({})", member.name, member.address)).collect();
        Quorum { voters: all, needed: if all == 0 { 0 } else { all / 2 + 1 }, reached: here.len(), away }
    }

    /// For how long a member has not been reached; none while it is.
    pub fn unreached_for(&self, member: u64) -> Option<Duration> {
        if member == self.node {
            return None;
        }
        self.peers.find(member).map_or(Some(Duration::ZERO), |peer| peer.unreached_for())
    }

    /// For a person: what keeps this cluster from deciding.
    pub fn missing(&self) -> String {
        if let Some(confirmation) = self.introductions.waits_for() {
            return confirmation;
        }
        let members = self.members();
        let voters: Vec<&Member> = members.iter().filter(|(_, voter)| *voter).map(|(member, _)| member).collect();
        let away: Vec<String> = voters
            .iter()
            .filter(|member| !self.reaches(member.id))
            .map(|member| format!("{} ({})", member.name, member.address))
            .collect();
        let (all, here) = (voters.len(), voters.len() - away.len());
        let needed = all / 2 + 1;
        if all == 0 {
            "this server has not heard from its cluster yet".to_owned()
        } else if here < needed {
            format!("{here} of {all} servers can be reached, {needed} are needed; not reached: {}", away.join(", "))
        } else if away.is_empty() {
            format!("the {all} servers have not agreed on a leader yet")
        } else {
            format!("the servers have not agreed on a leader yet; not reached: {}", away.join(", "))
        }
    }
}

/// For a person: what a long round trip means.
fn slow_link(name: &str, time: Duration) -> String {
    let (works, takes) = (ROUND_TRIP_MAX.as_secs_f64(), time.as_secs_f64());
    format!("the link to {name} takes {takes:.1} s for a round trip; above {works:.1} s writes may fail that need it")
}

/// What a cluster can lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// Servers that vote.
    pub voters: usize,
    /// Servers that have to be there to decide anything.
    pub needed: usize,
    /// Servers that vote and are reached from here, this one included.
    pub reached: usize,
    /// Names and addresses of the others.
    pub away: Vec<String>,
}

impl Quorum {
    /// For a person: that the next failure stops everything, or that nothing goes now. Whoever has a single server knows
    /// that.
    pub fn warning(&self) -> Option<String> {
        let Quorum { voters, needed, reached, away } = self;
        let away = away.join(", ");
        if *voters < 2 || reached > needed {
            None
        } else if reached < needed {
            Some(format!(
                "nothing can be written: {reached} of {voters} servers are reached, and it needs {needed}; not reached: {away}"
            ))
        } else if *voters == 2 {
            Some(TWO_VOTERS.to_owned())
        } else {
            Some(format!(
                "with one more server gone nothing can be written, because it needs {needed} of {voters}; not reached: {away}. \
                 Start it again, or put a new server in its place: one that joins under the same address or --name"
            ))
        }
    }
}

/// Whoever has two servers should know.
pub const TWO_VOTERS: &str =
    "two servers survive no failure at all: with either gone nothing can be written. Add a third.";

pub(super) fn members(stored: &StoredMembership<u64, Peer>) -> Vec<(Member, bool)> {
    let membership = stored.membership();
    // During a change the first set is the one before it. Whoever is only in the second does not count on his own yet: if
    // the old leader died now, the others could not go on with him in its place.
    let voters = membership.get_joint_config().first().cloned().unwrap_or_default();
    membership.nodes().map(|(id, peer)| (peer.clone().into_member(*id), voters.contains(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_link_is_named_with_its_time_and_what_it_means() {
        let said = slow_link("n2", Duration::from_millis(1840));
        assert_eq!(said, "the link to n2 takes 1.8 s for a round trip; above 1.5 s writes may fail that need it");
    }
}
