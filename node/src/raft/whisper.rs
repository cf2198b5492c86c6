//! Presence and typing, from node to node in passing: outside the log, best effort, and dropped where there is no room.

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::replication::rpc::{PeerRequest, Whisper};

use super::leader::Leadership;
use crate::limits::{WHISPER_TIMEOUT, WHISPERS_MAX};
use crate::quic::peer::Lane;

/// Where the service's whispers go.
#[derive(Debug, Clone)]
pub struct Whispers {
    queue: mpsc::Sender<Vec<Whisper>>,
}

/// What other nodes whisper: whose, and what.
pub type Heard = (u64, Vec<Whisper>);

impl Whispers {
    /// Starts the task that tells the others.
    pub(super) fn start(leadership: Leadership) -> Whispers {
        let (queue, batches) = mpsc::channel(WHISPERS_MAX);
        tokio::spawn(tell(leadership, batches));
        Whispers { queue }
    }

    /// Tells every node that is reached now.
    pub fn send(&self, whispers: Vec<Whisper>) {
        // What is dropped is repeated by the next refresh, or was gone in a moment anyway.
        if self.queue.try_send(whispers).is_err() {
            tracing::debug!("whispers were dropped");
        }
    }
}

async fn tell(leadership: Leadership, mut batches: mpsc::Receiver<Vec<Whisper>>) {
    while let Some(mut whispers) = batches.recv().await {
        while let Ok(more) = batches.try_recv() {
            whispers.extend(more);
        }
        let request = std::sync::Arc::new(PeerRequest::Whispers { whispers });
        // All at once, and each peer's next batch behind this one, so that nobody hears of an end before its beginning.
        let mut calls = JoinSet::new();
        for (member, _) in leadership.members() {
            let reached = leadership.peers().find(member.id).filter(|peer| peer.is_connected());
            if let Some(peer) = reached {
                let request = request.clone();
                calls.spawn(async move {
                    let timeout = WHISPER_TIMEOUT + 2 * peer.round_trip();
                    if let Err(error) = peer.call(Lane::Whisper, &request, timeout).await {
                        tracing::debug!(peer = format_args!("{:016x}", peer.id()), %error, "whispers were not heard");
                    }
                });
            }
        }
        while calls.join_next().await.is_some() {}
    }
}
