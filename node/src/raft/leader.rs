//! Who leads now, and what is missing when nobody does.
//!
//! This is the one place that says so. openraft remembers the last leader for as long as nothing contradicts it, so its
//! word counts only with recent proof:
//!
//! * of another node: it has spoken to this one within [`LEADER_SILENCE`];
//! * of this node: a majority has acknowledged it within [`LEADER_SILENCE`], or has elected it since.
//!
//! So the answer changes with time too, without any event. [`Leadership::changed`] returns for these changes as well: a
//! task wakes up when the newest proof would be too old, once in [`LEADER_SILENCE`]. A node that is its cluster's only
//! voter needs no proof and has no such timer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::metrics::RaftServerMetrics;
use openraft::{ServerState, StoredMembership};
use tokio::sync::watch;
use tokio::time::Instant;
use wire::replication::entry::{LogId, Member};

use super::candidacy::Heard;
use super::introductions::Introductions;
use super::types::{Peer, Raft, Vote, vote_out};
use crate::limits::{HEARTBEAT, LEADER_SILENCE, ROUND_TRIP_MAX};
use crate::quic::endpoint::Peers;
use crate::storage::trouble::Alarm;

/// A view of the cluster from this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    node: u64,
    metrics: watch::Receiver<RaftServerMetrics<u64, Peer>>,
    /// Counts changes of what this view shows.
    changes: watch::Receiver<u64>,
    peers: Arc<Peers>,
    heard: Heard,
    introductions: Introductions,
    won: Arc<Mutex<Option<(Vote, Instant)>>>,
}

/// Why the leader that openraft names is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// There is nobody else to be asked.
    Needless,
    /// It is this old.
    Since(Instant),
    /// There is none.
    Missing,
}

impl Leadership {
    pub(super) fn new(
        node: u64,
        raft: &Raft,
        peers: Arc<Peers>,
        heard: Heard,
        introductions: Introductions,
        alarm: &Alarm,
    ) -> Self {
        let (changed, changes) = watch::channel(0);
        let metrics = raft.server_metrics();
        let leadership = Leadership { node, metrics, changes, peers, heard, introductions, won: Arc::default() };
        alarm.guard("watching who leads", leadership.clone().observe(changed));
        leadership
    }

    /// Notes every change, those that only time makes included.
    async fn observe(self, changed: watch::Sender<u64>) {
        let mut metrics = self.metrics.clone();
        let mut shown = self.leader();
        loop {
            let expiry = match (shown, self.proof()) {
                (Some(_), Proof::Since(at)) => Some(at + LEADER_SILENCE),
                // What the others say over their links is not announced here.
                (None, _) if self.holds_office() => Some(Instant::now() + HEARTBEAT),
                // While nobody leads only an event changes that.
                _ => None,
            };
            let expired = async {
                match expiry {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let told = tokio::select! {
                ended = metrics.changed() => match ended {
                    Ok(()) => true,
                    // openraft has ended; the process is about to.
                    Err(_) => return,
                },
                () = self.heard.revived() => false,
                () = expired => false,
            };
            let leader = self.leader();
            if told || leader != shown {
                shown = leader;
                changed.send_modify(|changes| *changes = changes.wrapping_add(1));
            }
        }
    }

    /// What this node and the others remember of each other.
    pub fn introductions(&self) -> &Introductions {
        &self.introductions
    }

    /// Whether this node has heard enough from the other voters to vote for a candidate whose log ends at `end`.
    pub(super) fn may_vote(&self, end: Option<LogId>) -> bool {
        self.introductions.may_vote(self.voters(), end)
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

    /// The leader now, as far as this node knows. See the module for what that takes.
    pub fn leader(&self) -> Option<u64> {
        let leader = self.metrics.borrow().current_leader?;
        let proven = match self.proof() {
            Proof::Needless => true,
            Proof::Since(at) => at.elapsed() < LEADER_SILENCE,
            Proof::Missing => false,
        };
        proven.then_some(leader)
    }

    /// What speaks for the leader that openraft names.
    fn proof(&self) -> Proof {
        // Never two borrows at once: a writer that waits between them would wait for ever.
        let (leads, vote) = {
            let metrics = self.metrics.borrow();
            (metrics.current_leader == Some(self.node), metrics.vote)
        };
        if !leads {
            return self.heard.leader_at().map_or(Proof::Missing, Proof::Since);
        }
        let followed_at = |voter| {
            let heard = self.peers.find(voter).and_then(|peer| peer.line().last_heard());
            heard.filter(|heard| heard.vote == vote_out(&vote)).map(|heard| heard.at)
        };
        match acknowledged_by_majority(&self.deciding(), self.node, followed_at) {
            Acknowledged::Alone => Proof::Needless,
            Acknowledged::At(at) => Proof::Since(at.max(self.won_at(vote))),
            Acknowledged::Never => Proof::Since(self.won_at(vote)),
        }
    }

    /// When this node was first seen to lead under this vote: its election counts as an acknowledgement.
    fn won_at(&self, vote: Vote) -> Instant {
        let mut won = self.won.lock().expect("nobody panics while holding this lock");
        match *won {
            Some((known, at)) if known == vote => at,
            _ => won.insert((vote, Instant::now())).1,
        }
    }

    /// Whether this node leads, and a majority of the voters has said within this time that it follows, or has elected it.
    pub fn is_followed_within(&self, time: Duration) -> bool {
        self.holds_office()
            && match self.proof() {
                Proof::Needless => true,
                Proof::Since(at) => at.elapsed() < time,
                Proof::Missing => false,
            }
    }

    /// Whether this node is the leader of its term, which another term may have replaced without its knowledge.
    pub(super) fn holds_office(&self) -> bool {
        self.metrics.borrow().state == ServerState::Leader
    }

    /// Role (`leader`, `follower`, `candidate`, `learner`) and term of this node. A leader that no majority acknowledges is
    /// a candidate: it would lead.
    pub fn role(&self) -> (&'static str, u64) {
        let (state, term) = {
            let metrics = self.metrics.borrow();
            (metrics.state, metrics.vote.leader_id.term)
        };
        let role = match state {
            ServerState::Leader if self.leader() == Some(self.node) => "leader",
            ServerState::Leader | ServerState::Candidate => "candidate",
            ServerState::Learner => "learner",
            ServerState::Follower | ServerState::Shutdown => "follower",
        };
        (role, term)
    }

    /// Returns when anything about leader or members has changed since the last call. Clones count for themselves.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // openraft has ended; the process is about to.
            std::future::pending::<()>().await;
        }
    }

    /// Returns at the next change, after `at_most` at the latest.
    pub async fn pause(&self, at_most: Duration) {
        let mut next = self.clone();
        next.changes.mark_unchanged();
        // Either way it is time to look again.
        let _ = tokio::time::timeout(at_most, next.changed()).await;
    }

    /// Returns once this node does not take `leader` for the leader any more.
    pub async fn not_any_more(&self, leader: u64) {
        self.until(|now| now != Some(leader)).await;
    }

    /// Returns once this node knows another leader than `dead`.
    pub async fn led_by_another(&self, dead: u64) {
        self.until(|now| now.is_some_and(|leader| leader != dead)).await;
    }

    /// Returns once there is a leader.
    pub async fn led(&self) {
        self.until(|now| now.is_some()).await;
    }

    async fn until(&self, condition: impl Fn(Option<u64>) -> bool) {
        let mut next = self.clone();
        loop {
            // Before looking, so that no change is missed in between.
            next.changes.mark_unchanged();
            if condition(self.leader()) {
                return;
            }
            next.changed().await;
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

    /// Whether enough voters have links to this node, so that a leader among them is heard.
    fn reached_by_majority(&self) -> bool {
        let members = self.members();
        let voters: Vec<u64> = members.iter().filter(|(_, voter)| *voter).map(|(member, _)| member.id).collect();
        voters.iter().filter(|&&id| id == self.node || self.peers.is_here(id)).count() > voters.len() / 2
    }

    /// Members in order of their ids, each with whether it votes.
    pub fn members(&self) -> Vec<(Member, bool)> {
        members(&self.metrics.borrow().membership_config)
    }

    /// How many voters there are, are needed, and are reached from here.
    pub fn quorum(&self) -> Quorum {
        self.quorum_of(self.members().into_iter().filter(|(_, voter)| *voter).map(|(member, _)| member))
    }

    /// The same once everybody votes who joins now, this node among them.
    pub fn quorum_when_joined(&self) -> Quorum {
        self.quorum_of(self.members().into_iter().map(|(member, _)| member))
    }

    fn quorum_of(&self, voters: impl Iterator<Item = Member>) -> Quorum {
        let (here, away): (Vec<_>, Vec<_>) = voters.partition(|member| self.reaches(member.id));
        let all = here.len() + away.len();
        let troubled = away.iter().filter(|member| self.introductions.trouble(member.id).is_some());
        let troubled = troubled.map(|member| member.name.clone()).collect();
        let away = away.into_iter().map(|member| format!("{} ({})", member.name, member.address)).collect();
        Quorum { voters: all, needed: if all == 0 { 0 } else { all / 2 + 1 }, reached: here.len(), away, troubled }
    }

    /// For how long a member has not been reached; none while it is.
    pub fn unreached_for(&self, member: u64) -> Option<Duration> {
        if member == self.node {
            return None;
        }
        self.peers.find(member).map_or(Some(Duration::ZERO), |peer| peer.unreached_for())
    }

    /// For an operator: what keeps this cluster from deciding, and what can be done about it.
    pub fn waiting_for(&self) -> String {
        let members = self.members();
        let missing = self.missing();
        let troubled = self.quorum().troubled.join(" and ");
        let except = match troubled.is_empty() {
            true => String::new(),
            false => format!(", except {troubled}, which is of no use before what the warning about it says is done"),
        };
        if members.is_empty() {
            missing
        } else if !self.reaches_majority() {
            format!(
                "{missing}. Start them{except}; if they run and have moved, start this server again with --peers HOST:PORT, the \
                 address of one of them now (UDP and TCP have to get through)"
            )
        } else if !self.reached_by_majority() {
            format!(
                "{missing}. Let both through to this machine's port, or say with --advertise HOST:PORT where the others reach it"
            )
        } else {
            missing
        }
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
        if let Some(trouble) = self.introductions.trouble(self.node) {
            trouble
        } else if all == 0 {
            "this server has not heard from its cluster yet".to_owned()
        } else if here < needed {
            format!("{here} of {all} servers can be reached, {needed} are needed; not reached: {}", away.join(", "))
        } else if !self.reached_by_majority() {
            let me = members.iter().find(|(member, _)| member.id == self.node).map(|(member, _)| &member.address);
            let at = me.map_or("the address that they know", String::as_str);
            format!("this server reaches {here} of {all} servers, but too few of them reach it at {at}, UDP and TCP")
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
    /// Names of those among them that would not be listened to if they came.
    pub troubled: Vec<String>,
}

impl Quorum {
    /// For a person: that the next failure stops everything, or that nothing goes now. Whoever has a single server knows
    /// that.
    pub fn warning(&self) -> Option<String> {
        let Quorum { voters, needed, reached, away, troubled } = self;
        let all_troubled = away.len() == troubled.len();
        let away = away.join(", ");
        let advice = match (troubled.join(" and "), all_troubled) {
            (names, _) if names.is_empty() => {
                "Start it again, or put a new server in its place: one that joins under the same address or --name"
                    .to_owned()
            }
            (_, true) => "Starting it again does not help: do what the warning about it says".to_owned(),
            (names, false) => {
                format!("Start what is down again, except {names}: do what the warning about that one says")
            }
        };
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
                 {advice}"
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

/// When a majority of the voters last acknowledged a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledged {
    /// The leader is a majority by itself.
    Alone,
    /// The newest instant by which so many had.
    At(Instant),
    /// So many never have.
    Never,
}

/// `leader` is one of the `voters`, or none of them while it is being removed.
fn acknowledged_by_majority(
    voters: &[u64],
    leader: u64,
    acknowledged_at: impl Fn(u64) -> Option<Instant>,
) -> Acknowledged {
    let needed = voters.len() / 2 + 1 - usize::from(voters.contains(&leader));
    let others = voters.iter().filter(|&&voter| voter != leader);
    let mut times: Vec<Instant> = others.filter_map(|&voter| acknowledged_at(voter)).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    match needed.checked_sub(1) {
        None => Acknowledged::Alone,
        Some(last) => times.get(last).map_or(Acknowledged::Never, |&at| Acknowledged::At(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_link_is_named_with_its_time_and_what_it_means() {
        let said = slow_link("n2", Duration::from_millis(1840));
        assert_eq!(said, "the link to n2 takes 1.8 s for a round trip; above 1.5 s writes may fail that need it");
    }

    #[test]
    fn nobody_is_sent_to_start_a_server_that_would_not_be_listened_to() {
        let warning = |away: &[&str], troubled: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let voters = 2 * away.len() + 1;
            let quorum = Quorum {
                voters,
                needed: away.len() + 1,
                reached: voters - away.len(),
                away: own(away),
                troubled: own(troubled),
            };
            quorum.warning().unwrap()
        };
        assert!(warning(&["a"], &[]).contains(". Start it again, or put"));
        assert!(
            warning(&["a"], &["a"]).ends_with(". Starting it again does not help: do what the warning about it says")
        );
        assert!(warning(&["a", "b"], &["b"]).contains(". Start what is down again, except b:"));
    }

    #[test]
    fn the_newest_instant_by_which_a_majority_had_acknowledged_counts() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let check = |voters: &[u64], times: &[(u64, u64)], expected| {
            let time = |voter| times.iter().find(|(id, _)| *id == voter).map(|(_, second)| at(*second));
            assert_eq!(acknowledged_by_majority(voters, 1, time), expected, "{voters:?} {times:?}");
        };
        check(&[1], &[], Acknowledged::Alone);
        check(&[1, 2], &[], Acknowledged::Never);
        check(&[1, 2], &[(2, 5)], Acknowledged::At(at(5)));
        check(&[1, 2, 3], &[(2, 5), (3, 9)], Acknowledged::At(at(9)));
        check(&[1, 2, 3, 4], &[(2, 5), (3, 9)], Acknowledged::At(at(5)));
        check(&[1, 2, 3, 4, 5], &[(2, 5), (3, 9), (4, 7)], Acknowledged::At(at(7)));
        check(&[1, 2, 3, 4, 5], &[(3, 9)], Acknowledged::Never);
        check(&[2, 3], &[(2, 5), (3, 9)], Acknowledged::At(at(5)));
        check(&[2, 3], &[(3, 9), (7, 9)], Acknowledged::Never);
    }
}
