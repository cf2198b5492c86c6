//! Reads: on any node, linearizable unless no quorum answers.
//!
//! A read asks the leader how far a replica must have applied to see everything acknowledged before (ReadIndex: the
//! leader proves its office to a quorum first), waits for that, and then looks at local state. One question is under
//! way at a time; readers that arrive meanwhile share the next. No leases: after a failover they would have to be
//! waited out.

use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::leader::Leadership;
use super::types::Raft;
use crate::limits::{RETRY_PAUSE, STALE_AFTER, STALE_AGAIN_AFTER};
use crate::quic::peer::Lane;
use crate::storage::trouble::Alarm;

/// How much a read may trust what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Everything acknowledged before the read began is visible.
    Linearizable,
    /// No quorum answered for [`crate::limits::STALE_AFTER`]: what this node has, marked so.
    Stale,
}

/// Who waits, and since when.
type Readers = Vec<(oneshot::Sender<Freshness>, Instant)>;

/// Handle to the read barrier.
#[derive(Debug, Clone)]
pub struct Reads {
    waiting: Arc<Mutex<Readers>>,
    arrived: Arc<Notify>,
}

impl Reads {
    /// Returns once this node's state holds everything that was acknowledged before the call, or when that cannot be
    /// had.
    pub async fn barrier(&self) -> Freshness {
        let (done, freshness) = oneshot::channel();
        self.waiting.lock().expect("nobody panics while holding this lock").push((done, Instant::now()));
        self.arrived.notify_one();
        freshness.await.unwrap_or(Freshness::Stale)
    }

    pub(super) fn start(
        raft: Raft,
        leadership: Leadership,
        applied: watch::Receiver<Option<u64>>,
        alarm: &Alarm,
    ) -> Self {
        let reads = Reads { waiting: Arc::default(), arrived: Arc::default() };
        alarm.guard("asking how far to read", serve(reads.clone(), raft, leadership, applied));
        reads
    }
}

async fn serve(reads: Reads, raft: Raft, leadership: Leadership, applied: watch::Receiver<Option<u64>>) {
    // How long readers wait for an answer: less once one has not come.
    let mut patience = STALE_AFTER;
    loop {
        reads.arrived.notified().await;
        let readers = std::mem::take(&mut *reads.waiting.lock().expect("nobody panics while holding this lock"));
        // All of them arrived before the question is asked, so one answer serves all; the most patient one decides.
        // Two questions travel, one behind the other: to the leader, and from it to a quorum.
        let travel = 4 * leadership.round_trip();
        let Some(deadline) = readers.iter().map(|(_, since)| *since + patience + travel).max() else { continue };
        let index = tokio::time::timeout_at(deadline, ask_until_answered(&raft, leadership.clone())).await;
        patience = if index.is_ok() { STALE_AFTER } else { STALE_AGAIN_AFTER };
        match index {
            Err(_) => release(readers, Freshness::Stale),
            Ok(index) if reached(*applied.borrow(), index) => release(readers, Freshness::Linearizable),
            Ok(index) => {
                // Waiting for apply must not keep the next readers from asking.
                let mut applied = applied.clone();
                tokio::spawn(async move {
                    let wait = applied.wait_for(|applied| reached(*applied, index));
                    let freshness = match tokio::time::timeout_at(deadline, wait).await {
                        Ok(Ok(_)) => Freshness::Linearizable,
                        _ => Freshness::Stale,
                    };
                    release(readers, freshness);
                });
            }
        }
    }
}

fn reached(applied: Option<u64>, index: u64) -> bool {
    applied.is_some_and(|applied| applied >= index)
}

fn release(readers: Readers, freshness: Freshness) {
    for (reader, _) in readers {
        // Whoever asked may have left.
        let _ = reader.send(freshness);
    }
}

async fn ask_until_answered(raft: &Raft, mut leadership: Leadership) -> u64 {
    loop {
        match leadership.leader() {
            Some(leader) if leader == leadership.node() => {
                if let Some(index) = read_index(raft).await {
                    return index;
                }
            }
            Some(leader) => {
                if let Some(peer) = leadership.peers().find(leader) {
                    let answer = tokio::select! {
                        answer = peer.call(Lane::Read, &PeerRequest::ReadIndex, STALE_AFTER + 4 * peer.round_trip()) => answer,
                        () = leadership.not_any_more(leader) => continue,
                    };
                    if let Ok(PeerReply::ReadIndex { index }) = answer {
                        return index;
                    }
                }
            }
            None => {}
        }
        let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
    }
}

/// On the leader: proves its office to a quorum and says how far a replica must have applied. `None` when it could
/// not.
pub(super) async fn read_index(raft: &Raft) -> Option<u64> {
    // openraft bounds its questions to the others. This is for a core that does not get to asking, as behind a slow disk.
    let answer = tokio::time::timeout(STALE_AFTER, raft.get_read_log_id());
    let (read, _applied) = answer.await.ok()?.ok()?;
    // Never empty: a leader's first act is to log an entry.
    read.map(|id| id.index)
}
