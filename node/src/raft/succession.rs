//! Noticing the death of a leader at once.
//!
//! Election timeouts have to be long enough for a busy machine, so by themselves they make every failover slow. But when
//! a process dies its kernel closes its connections. Every node therefore holds one silent TCP connection to every other
//! ([`wire::limits::WATCH_PREFACE`]). When it breaks and the port refuses a new one, the process is gone for sure, and if
//! it led, the survivors stand for election one after the other instead of waiting for silence to last.
//!
//! A machine that loses its power or its network closes nothing: the timeouts are for those.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use wire::limits::WATCH_PREFACE;

use super::leader::Leadership;
use super::types::Raft;
use crate::limits::{SUCCESSION_ROUNDS, SUCCESSION_STEP, WATCH_CONNECT_TIMEOUT, WATCH_PAUSE};

/// The watch over all other members.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watched: HashMap<u64, (String, AbortHandle)>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.values().for_each(|(_, task)| task.abort());
    }
}

impl Watch {
    /// Stops watching everybody else.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.watched.retain(|&peer, (_, task)| {
            let kept = keep(peer);
            if !kept {
                task.abort();
            }
            kept
        });
    }

    /// Watches a member at an address from now on.
    pub(super) fn keep(&mut self, raft: &Raft, leadership: &Leadership, peer: u64, address: &str) {
        if self.watched.get(&peer).is_some_and(|(known, _)| known == address) {
            return;
        }
        let task = tokio::spawn(watch(raft.clone(), leadership.clone(), peer, address.to_owned())).abort_handle();
        if let Some((_, old)) = self.watched.insert(peer, (address.to_owned(), task)) {
            old.abort();
        }
    }
}

async fn watch(raft: Raft, leadership: Leadership, peer: u64, address: String) {
    let mut connection = connect(&address).await;
    loop {
        let Ok(held) = connection else {
            pause(&leadership, peer).await;
            connection = connect(&address).await;
            continue;
        };
        broken(held).await;
        connection = connect(&address).await;
        let refused = connection.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if refused && leadership.leader() == Some(peer) {
            tracing::info!(peer = format_args!("{peer:016x}"), address, "the leader is gone");
            succeed(&raft, &leadership, peer).await;
        }
    }
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
async fn broken(mut held: TcpStream) {
    let mut nothing = [0; 16];
    // A peer says nothing here; whatever it does say keeps the watch.
    while held.read(&mut nothing).await.is_ok_and(|count| count > 0) {}
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let open = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(&[WATCH_PREFACE]).await?;
        Ok(connection)
    };
    tokio::time::timeout(WATCH_CONNECT_TIMEOUT, open).await?
}

/// Stands for election in turn with the other survivors until somebody leads.
async fn succeed(raft: &Raft, leadership: &Leadership, dead: u64) {
    let members = leadership.members();
    let survivors: Vec<u64> =
        members.iter().filter(|(member, voter)| *voter && member.id != dead).map(|(member, _)| member.id).collect();
    let Some(turn) = survivors.iter().position(|&id| id == leadership.node()) else { return };
    let step = |steps: usize| SUCCESSION_STEP * u32::try_from(steps).unwrap_or(u32::MAX);
    if led_by_another(leadership, dead, step(turn)).await {
        return;
    }
    for round in 0..SUCCESSION_ROUNDS {
        if let Err(error) = raft.trigger().elect().await {
            tracing::debug!(%error, "consensus has ended");
            return;
        }
        // Each round waits twice as long as the one before: on a busy machine an election takes its time, and standing
        // again would only spoil it.
        if led_by_another(leadership, dead, step(survivors.len()) * (1 << round)).await {
            return;
        }
    }
}

/// Whether somebody else leads within `patience`.
async fn led_by_another(leadership: &Leadership, dead: u64, patience: Duration) -> bool {
    tokio::time::timeout(patience, leadership.led_by_another(dead)).await.is_ok()
}
