//! How far the clocks of the others are from this node's.
//!
//! Nothing is ordered by a clock, but times are shown to people and end join codes. So each node asks another how late it is
//! when that one has connected, and again while somebody looks at the status; an idle cluster says nothing. An answer
//! belongs to the middle of its round trip.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::leader::Leadership;
use crate::env::{Clock, ClusterTime};
use crate::limits::{CALL_TIMEOUT, CLOCK_LOOK_PAUSE, CLOCK_SKEW_MAX, RETRY_PAUSE, WRITE_HOLD};
use crate::quic::peer::Lane;

/// What is known about the clocks of the others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clocks {
    leadership: Leadership,
    time: ClusterTime,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Milliseconds by which each is ahead of this node.
    ahead_ms: BTreeMap<u64, i64>,
    looked: Option<Instant>,
}

/// What another node says about the time.
#[derive(Debug, Clone, Copy)]
struct Times {
    time_ms: u64,
    stamp_ms: u64,
}

impl Clocks {
    pub(super) fn new(leadership: Leadership, time: ClusterTime) -> Self {
        Clocks { leadership, time, known: Arc::default() }
    }

    /// The time that this node would stamp on an entry now.
    pub(super) fn stamp_ms(&self) -> u64 {
        self.time.now_ms(Clock)
    }

    /// Milliseconds by which a member's clock is ahead of this node's, when it was last asked.
    pub fn ahead_ms(&self, member: u64) -> Option<i64> {
        self.lock().ahead_ms.get(&member).copied()
    }

    /// Asks everybody who is linked again, in the background, if that was not done a moment ago.
    pub fn look_again(&self) {
        {
            let mut known = self.lock();
            if known.looked.is_some_and(|looked| looked.elapsed() < CLOCK_LOOK_PAUSE) {
                return;
            }
            known.looked = Some(Instant::now());
        }
        for (member, _) in self.leadership.members() {
            if member.id != self.leadership.node() && self.leadership.reaches(member.id) {
                self.look_at(member.id);
            }
        }
    }

    /// Asks one, in the background.
    pub(super) fn look_at(&self, member: u64) {
        let clocks = self.clone();
        tokio::spawn(async move {
            let Some(answer) = clocks.ask(member).await else { return };
            let ahead_ms = difference(answer.time_ms, Clock.unix_ms());
            let before = clocks.lock().ahead_ms.insert(member, ahead_ms);
            if is_skewed(ahead_ms) && !before.is_some_and(is_skewed) {
                let members = clocks.leadership.members();
                let name = members.into_iter().find(|(other, _)| other.id == member).map(|(other, _)| other.name);
                tracing::warn!(
                    peer = format_args!("{member:016x}"),
                    name,
                    ahead_ms,
                    "the clocks of this server and of a peer differ; set them right, for example with NTP"
                );
            }
        });
    }

    /// The time that the leader would stamp on an entry now, milliseconds since 1970. Waits for a leader as long as a
    /// write does; `None` if none answers.
    pub async fn leader_ms(&self) -> Option<u64> {
        let mut leadership = self.leadership.clone();
        let asked = async {
            loop {
                match leadership.leader() {
                    Some(leader) if leader == leadership.node() => return self.stamp_ms(),
                    Some(leader) => {
                        if let Some(answer) = self.ask(leader).await {
                            return answer.stamp_ms;
                        }
                    }
                    None => {}
                }
                let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
            }
        };
        tokio::time::timeout(WRITE_HOLD, asked).await.ok()
    }

    /// A member's times at this moment.
    async fn ask(&self, member: u64) -> Option<Times> {
        let peer = self.leadership.peers().find(member)?;
        let asked = Instant::now();
        match peer.call(Lane::Control, &PeerRequest::Clock, CALL_TIMEOUT).await {
            Ok(PeerReply::Clock { time_ms, stamp_ms }) => {
                let half = u64::try_from(asked.elapsed().as_millis() / 2).unwrap_or_default();
                Some(Times { time_ms: time_ms.saturating_add(half), stamp_ms: stamp_ms.saturating_add(half) })
            }
            _ => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics while holding this lock")
    }
}

/// Whether an operator should hear of it.
pub fn is_skewed(ahead_ms: i64) -> bool {
    u128::from(ahead_ms.unsigned_abs()) > CLOCK_SKEW_MAX.as_millis()
}

fn difference(theirs: u64, ours: u64) -> i64 {
    let bounded = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    bounded(theirs).saturating_sub(bounded(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_are_borne_and_more_is_told_either_way() {
        for (ahead_ms, told) in
            [(0, false), (2000, false), (-2000, false), (2001, true), (-2001, true), (i64::MIN, true)]
        {
            assert_eq!(is_skewed(ahead_ms), told, "{ahead_ms}");
        }
        assert_eq!(difference(5, 7), -2);
        assert_eq!(difference(u64::MAX, 0), i64::MAX);
    }
}
