//! Standing for election, after asking whether it could be won.
//!
//! A node that is cut off hears no leader. If it stood for election each time its patience ends, its term would have risen
//! far by the time it is back, and the first thing it says would depose a leader that everybody else is content with. So
//! nobody raises its term before a majority has said that it would vote for it: who has heard from a leader a moment ago
//! says no, and so does a leader that a majority has answered a moment ago. This is Raft's pre-vote (Ongaro's thesis,
//! 9.6), which openraft 0.9 does not have; its own timer is switched off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::replication::entry::LogId;
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::leader::Leadership;
use super::types::{Raft, log_id_out};
use crate::limits::{ELECTION_TIMEOUT_MAX, ELECTION_TIMEOUT_MIN, LEADER_SILENCE, RETRY_PAUSE, VOTE_PATIENCE};
use crate::quic::peer::Lane;

/// When this node last heard from somebody who leads or may lead soon. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    times: Arc<Mutex<Times>>,
    /// A leader has spoken after a silence.
    revived: Arc<Notify>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    began: Instant,
    leader: Option<Instant>,
    voted: Option<Instant>,
    stood: Option<Instant>,
}

impl Heard {
    pub(super) fn new() -> Self {
        let times = Times { began: Instant::now(), leader: None, voted: None, stood: None };
        Heard { times: Arc::new(Mutex::new(times)), revived: Arc::default() }
    }

    /// A leader has spoken.
    pub(super) fn leader(&self) {
        let before = self.lock().leader.replace(Instant::now());
        if before.is_none_or(|before| before.elapsed() >= LEADER_SILENCE) {
            self.revived.notify_one();
        }
    }

    /// Returns once a leader has spoken after a silence of [`LEADER_SILENCE`]. For one listener.
    pub(super) async fn revived(&self) {
        self.revived.notified().await;
    }

    /// When a leader last spoke.
    pub(super) fn leader_at(&self) -> Option<Instant> {
        self.lock().leader
    }

    /// This node has voted for another.
    pub(super) fn voted(&self) {
        self.lock().voted = Some(Instant::now());
    }

    /// This node stands for election.
    fn standing(&self) {
        self.lock().stood = Some(Instant::now());
    }

    /// Since when silence counts. Votes travel there and back before anybody has won, so the silence after one begins later.
    fn quiet_since(&self, round_trip: Duration) -> Instant {
        let times = *self.lock();
        let later = |time: Option<Instant>| time.map(|time| time + 2 * round_trip);
        [times.leader, later(times.voted), later(times.stood)].into_iter().flatten().fold(times.began, Instant::max)
    }

    /// Whether a leader has spoken within the last `time`.
    fn leader_within(&self, time: Duration) -> bool {
        self.lock().leader.is_some_and(|heard| heard.elapsed() < time)
    }

    fn voted_within(&self, time: Duration) -> bool {
        self.lock().voted.is_some_and(|voted| voted.elapsed() < time)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().expect("nobody panics while holding this lock")
    }
}

/// This node as a voter that may stand for election. Cheap to clone.
#[derive(Clone)]
pub(super) struct Candidate {
    raft: Raft,
    leadership: Leadership,
    heard: Heard,
}

impl Candidate {
    pub(super) fn new(raft: Raft, leadership: Leadership, heard: Heard) -> Self {
        Candidate { raft, leadership, heard }
    }

    pub(super) fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The last entry of this node's log.
    fn log_end(&self) -> Option<LogId> {
        self.raft.data_metrics().borrow().last_log.as_ref().map(log_id_out)
    }

    /// Whether this node would vote for a candidate whose log ends there. Where a leader is known to be `dead`, its silence
    /// need not have lasted.
    pub(super) fn would_vote(&self, last_log_id: Option<LogId>, dead: Option<u64>) -> bool {
        let free = match dead {
            Some(dead) => self.leadership.leader().is_none_or(|leader| leader == dead) && !self.has_just_voted(),
            None => {
                !self.leadership.is_followed_within(ELECTION_TIMEOUT_MAX)
                    && !self.heard.leader_within(ELECTION_TIMEOUT_MAX)
            }
        };
        free && self.leadership.may_vote(last_log_id) && last_log_id >= self.log_end()
    }

    /// Whether it has given its vote to somebody who may be about to win.
    pub(super) fn has_just_voted(&self) -> bool {
        self.heard.voted_within(VOTE_PATIENCE + self.leadership.round_trip())
    }

    /// Asks the other voters; see [`Candidate::would_vote`]. Two majorities may be needed during a change of the members; the
    /// election then decides.
    pub(super) async fn would_win(&self, dead: Option<u64>) -> bool {
        let last_log_id = self.log_end();
        if !self.would_vote(last_log_id, dead) {
            return false;
        }
        let members = self.leadership.members();
        let voters = members.iter().filter(|(_, voter)| *voter).map(|(member, _)| member.id);
        let (mut all, mut answers) = (0, JoinSet::new());
        for voter in voters {
            all += 1;
            let peer = self.leadership.peers().find(voter).filter(|peer| peer.is_connected());
            let Some(peer) = peer.filter(|_| voter != self.leadership.node()) else { continue };
            answers.spawn(async move {
                let request = PeerRequest::PreVote { last_log_id, dead };
                let timeout = ELECTION_TIMEOUT_MIN + 2 * peer.round_trip();
                let answer = peer.call(Lane::Vote, &request, timeout).await;
                matches!(answer, Ok(PeerReply::PreVote { granted: true }))
            });
        }
        let mut granted = 1;
        while granted < all / 2 + 1 {
            match answers.join_next().await {
                Some(answer) => granted += usize::from(answer.unwrap_or(false)),
                None => return false,
            }
        }
        true
    }

    /// Stands for election, if this node may vote at all. False when consensus has ended.
    pub(super) async fn elect(&self) -> bool {
        if !self.leadership.may_vote(self.log_end()) {
            return true;
        }
        self.heard.standing();
        tracing::info!("standing for election");
        match self.raft.trigger().elect().await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "consensus has ended");
                false
            }
        }
    }

    /// Stands for election whenever no leader was heard for long enough and a majority would vote for this node.
    pub(super) async fn stand_when_due(self) {
        let mut leadership = self.leadership.clone();
        let mut patience = patience();
        loop {
            let members = leadership.members();
            let me = leadership.node();
            let voters = members.iter().filter(|(_, voter)| *voter).count();
            if !members.iter().any(|(member, voter)| *voter && member.id == me) || leadership.holds_office() {
                leadership.changed().await;
                continue;
            }
            let due = |heard: &Heard| heard.quiet_since(leadership.round_trip()) + patience;
            let due_at = due(&self.heard);
            // Alone there is nobody to wait for.
            if voters > 1 && Instant::now() < due_at {
                tokio::time::sleep_until(due_at).await;
                continue;
            }
            let would_win = self.would_win(None).await;
            if voters > 1 && due(&self.heard) > due_at {
                // Somebody leads or is about to: the answers were long under way.
                continue;
            }
            if would_win {
                patience = self::patience();
                if !self.elect().await {
                    return;
                }
                // A single voter wins at once, and must not ask again before that shows.
                let _ = tokio::time::timeout(ELECTION_TIMEOUT_MIN, leadership.changed()).await;
            } else {
                let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
            }
        }
    }
}

/// How long silence has to last, drawn anew for each election so that two nodes do not stand in step.
fn patience() -> Duration {
    let span = (ELECTION_TIMEOUT_MAX - ELECTION_TIMEOUT_MIN).as_millis();
    let mut random = [0; 2];
    // Without randomness the nodes may stand in step, and try again.
    let _ = getrandom::fill(&mut random);
    let part = u64::try_from(span * u128::from(u16::from_be_bytes(random)) / u128::from(u16::MAX)).unwrap_or_default();
    ELECTION_TIMEOUT_MAX + Duration::from_millis(part)
}
