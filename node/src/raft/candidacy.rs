//! Standing for election, after asking whether it could be won.
//!
//! A node that is cut off hears no leader. If it stood for election each time its patience ends, its term would have risen
//! far by the time it is back, and the first thing it says would depose a leader that everybody else is content with. So
//! nobody raises its term before a majority has said that it would vote for it: who has heard from a leader a moment ago
//! says no, and so does a leader that a majority has answered a moment ago. This is Raft's pre-vote (Ongaro's thesis,
//! 9.6), which openraft 0.9 does not have; its own timer is switched off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::replication::entry::LogId;
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::leader::Leadership;
use super::types::{Raft, log_id_out};
use crate::limits::{ELECTION_TIMEOUT_MAX, ELECTION_TIMEOUT_MIN, RETRY_PAUSE};
use crate::quic::peer::Lane;

/// When this node last heard from somebody who leads or may lead soon. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Heard(Arc<Mutex<Times>>);

#[derive(Debug, Clone, Copy)]
struct Times {
    leader: Option<Instant>,
    quiet_since: Instant,
}

impl Heard {
    pub(super) fn new() -> Self {
        Heard(Arc::new(Mutex::new(Times { leader: None, quiet_since: Instant::now() })))
    }

    /// A leader has spoken.
    pub(super) fn leader(&self) {
        let now = Instant::now();
        *self.lock() = Times { leader: Some(now), quiet_since: now };
    }

    /// This node stands for election, or votes for somebody who does.
    pub(super) fn election(&self) {
        self.lock().quiet_since = Instant::now();
    }

    fn quiet_since(&self) -> Instant {
        self.lock().quiet_since
    }

    /// Whether a leader has spoken within the last `time`.
    pub(super) fn leader_within(&self, time: Duration) -> bool {
        self.lock().leader.is_some_and(|heard| heard.elapsed() < time)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

/// Whether this node would vote for a candidate whose log ends there.
pub(super) fn would_vote(raft: &Raft, heard: &Heard, last_log_id: Option<LogId>) -> bool {
    let metrics = raft.data_metrics();
    let metrics = metrics.borrow();
    // Only known to a leader.
    let followed = metrics.millis_since_quorum_ack.is_some_and(|ms| u128::from(ms) < ELECTION_TIMEOUT_MAX.as_millis());
    !followed && !heard.leader_within(ELECTION_TIMEOUT_MAX) && last_log_id >= metrics.last_log.as_ref().map(log_id_out)
}

/// Stands for election whenever no leader was heard for long enough and a majority would vote for this node.
pub(super) async fn stand(raft: Raft, mut leadership: Leadership, heard: Heard) {
    let mut patience = patience();
    loop {
        let members = leadership.members();
        let me = leadership.node();
        let voters: Vec<u64> = members.iter().filter(|(_, voter)| *voter).map(|(member, _)| member.id).collect();
        if !voters.contains(&me) || leadership.role().0 == "leader" {
            leadership.changed().await;
            continue;
        }
        let due = heard.quiet_since() + patience;
        // Alone there is nobody to wait for.
        if voters.len() > 1 && Instant::now() < due {
            tokio::time::sleep_until(due).await;
            continue;
        }
        if would_win(&raft, &leadership, &voters).await {
            heard.election();
            patience = self::patience();
            if let Err(error) = raft.trigger().elect().await {
                tracing::debug!(%error, "consensus has ended");
                return;
            }
            // A single voter wins at once, and must not ask again before that shows.
            let _ = tokio::time::timeout(ELECTION_TIMEOUT_MIN, leadership.changed()).await;
        } else {
            let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
        }
    }
}

/// Asks the other voters. Two majorities may be needed during a change of the members; the election then decides.
async fn would_win(raft: &Raft, leadership: &Leadership, voters: &[u64]) -> bool {
    let last_log_id = raft.data_metrics().borrow().last_log.as_ref().map(log_id_out);
    let mut answers = JoinSet::new();
    for &voter in voters.iter().filter(|&&voter| voter != leadership.node()) {
        let Some(peer) = leadership.peers().find(voter).filter(|peer| peer.is_connected()) else { continue };
        answers.spawn(async move {
            let answer = peer.call(Lane::Vote, &PeerRequest::PreVote { last_log_id }, ELECTION_TIMEOUT_MIN).await;
            matches!(answer, Ok(PeerReply::PreVote { granted: true }))
        });
    }
    let mut granted = 1;
    while granted < voters.len() / 2 + 1 {
        match answers.join_next().await {
            Some(answer) => granted += usize::from(answer.unwrap_or(false)),
            None => return false,
        }
    }
    true
}

/// How long silence has to last, drawn anew for each election so that two nodes do not stand in step.
fn patience() -> Duration {
    let span = (ELECTION_TIMEOUT_MAX - ELECTION_TIMEOUT_MIN).as_millis();
    let mut random = [0; 2];
    // Without randomness the nodes may stand in step, and try again.
    let _ = getrandom::fill(&mut random);
    let part = u64::try_from(span * u128::from(u16::from_be_bytes(random)) / u128::from(u16::MAX)).unwrap_or_default();
    ELECTION_TIMEOUT_MAX + ELECTION_TIMEOUT_MIN + Duration::from_millis(part)
}
