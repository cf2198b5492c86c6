//! Noticing the death of a leader at once.
//!
//! Election timeouts have to be long enough for a busy machine, so by themselves they make every failover slow. But when
//! a process dies its kernel closes its connections. Every node therefore holds one silent TCP connection to every other
//! ([`wire::limits::WATCH_PREFACE`]). When it breaks and the port refuses a new one, the process is gone for sure. If
//! it led, the survivors stand for election one after the other instead of waiting for silence to last. And its link ends
//! before it is idle for too long, so that nobody is told that the dead one is reached.
//!
//! A machine that loses its power or its network closes nothing: the timeouts are for those.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use wire::limits::WATCH_PREFACE;

use super::candidacy::Candidate;
use super::leader::Leadership;
use crate::limits::{SUCCESSION_ROUNDS, SUCCESSION_STEP, WATCH_CONNECT_TIMEOUT, WATCH_PAUSE};
use crate::quic::peer::Peer;

/// The watch over all other members.
pub(super) struct Watch {
    candidate: Candidate,
    watched: HashMap<u64, AbortHandle>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.values().for_each(AbortHandle::abort);
    }
}

impl Watch {
    /// Over nobody yet.
    pub(super) fn new(candidate: Candidate) -> Self {
        Watch { candidate, watched: HashMap::new() }
    }

    /// Stops watching everybody else.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.watched.retain(|&peer, task| {
            let kept = keep(peer);
            if !kept {
                task.abort();
            }
            kept
        });
    }

    /// Watches a member from now on, wherever its link says that it is.
    pub(super) fn keep(&mut self, peer: u64) {
        let candidate = &self.candidate;
        self.watched.entry(peer).or_insert_with(|| tokio::spawn(watch(candidate.clone(), peer)).abort_handle());
    }
}

async fn watch(candidate: Candidate, peer: u64) {
    let leadership = candidate.leadership();
    // The address at which a connection has broken, and the link to the process that held it, until it is known why.
    let (mut broken, mut link) = (None, None);
    'watch: loop {
        // Only the port that took the connection can tell whether its process is gone. The member may also have moved since.
        let known = whereabouts(leadership, peer).into_iter().filter(|address| broken != Some(*address));
        let targets: Vec<SocketAddr> = broken.into_iter().chain(known).collect();
        for address in targets {
            match connect(address, leadership.peers().find(peer)).await {
                Ok(held) => {
                    let since = Instant::now();
                    tokio::select! {
                        () = end_of(held) => {
                            broken = Some(address);
                            link = leadership.peers().find(peer).and_then(|peer| peer.link()).map(|(_, link)| link);
                        }
                        // Where nobody is any more nothing would tell of a death.
                        () = moved(leadership, peer, address) => {
                            broken = None;
                            continue 'watch;
                        }
                    }
                    if since.elapsed() < WATCH_PAUSE {
                        // Caught by the death of the process, or sent away: soon again, but not at once for ever.
                        tokio::time::sleep(WATCH_PAUSE / 4).await;
                    }
                    continue 'watch;
                }
                // Not if it was never reached: a way that only this kind of connection cannot go proves nothing.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    if broken == Some(address) {
                        broken = None;
                        if let (Some(dead), Some(link)) = (leadership.peers().find(peer), link.take()) {
                            tokio::spawn(async move { dead.end_unless_answered(link).await });
                        }
                        if leadership.leader() == Some(peer) {
                            tracing::info!(peer = format_args!("{peer:016x}"), %address, "the leader is gone");
                            succeed(&candidate, peer).await;
                        }
                    }
                }
                // Caught by the death of the process; the next attempt tells.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    continue 'watch;
                }
                Err(_) => {}
            }
        }
        pause(leadership, peer).await;
    }
}

fn whereabouts(leadership: &Leadership, peer: u64) -> Vec<SocketAddr> {
    leadership.peers().find(peer).map(|link| link.whereabouts()).unwrap_or_default()
}

/// Returns once a member is known to be elsewhere.
async fn moved(leadership: &Leadership, peer: u64, address: SocketAddr) {
    let mut links = leadership.peers().links();
    while links.changed().await.is_ok() {
        let known = whereabouts(leadership, peer);
        if !known.is_empty() && !known.contains(&address) {
            return;
        }
    }
    std::future::pending().await
}

/// Until a peer that could not be reached is worth another try: a while, or less if it has come back.
async fn pause(leadership: &Leadership, peer: u64) {
    let away = leadership.peers().find(peer).filter(|link| !link.is_connected());
    let back = async {
        match &away {
            Some(link) => link.wait_connected().await,
            None => std::future::pending().await,
        }
    };
    // Either way it is tried again.
    let _ = tokio::time::timeout(WATCH_PAUSE, back).await;
}

/// Returns when the connection has ended.
async fn end_of(mut held: TcpStream) {
    let mut nothing = [0; 16];
    // A peer says nothing here; whatever it does say keeps the watch.
    while held.read(&mut nothing).await.is_ok_and(|count| count > 0) {}
}

async fn connect(address: SocketAddr, link: Option<Arc<Peer>>) -> io::Result<TcpStream> {
    let open = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(&[WATCH_PREFACE]).await?;
        Ok(connection)
    };
    let round_trip = link.map(|link| link.round_trip()).unwrap_or_default();
    tokio::time::timeout(WATCH_CONNECT_TIMEOUT + 2 * round_trip, open).await?
}

/// Stands for election until somebody leads.
///
/// All survivors stand at once: none can vote before it has stood itself, because it still protects the dead leader with
/// its lease. Among votes of one term the greater node id wins, if no log is behind, so that usually settles it. If
/// it does not, they go on in turn, but only who could win, and nobody who has just voted for another.
async fn succeed(candidate: &Candidate, dead: u64) {
    let leadership = candidate.leadership();
    let members = leadership.members();
    let survivors: Vec<u64> =
        members.iter().filter(|(member, voter)| *voter && member.id != dead).map(|(member, _)| member.id).collect();
    let Some(turn) = survivors.iter().position(|&id| id == leadership.node()) else { return };
    if !candidate.has_just_voted() && !candidate.elect().await {
        return;
    }
    let steps = u32::try_from(survivors.len() + turn).unwrap_or(u32::MAX);
    for round in 0..SUCCESSION_ROUNDS {
        // Each round waits twice as long as the one before: on a busy machine an election takes its time.
        if led_by_another(leadership, dead, SUCCESSION_STEP * steps * (1 << round) + 2 * leadership.round_trip()).await
        {
            return;
        }
        if candidate.would_win(Some(dead)).await && !candidate.elect().await {
            return;
        }
    }
}

/// Whether somebody else leads within `patience`.
async fn led_by_another(leadership: &Leadership, dead: u64, patience: Duration) -> bool {
    tokio::time::timeout(patience, leadership.led_by_another(dead)).await.is_ok()
}
