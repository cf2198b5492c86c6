//! Which processes of the other members are connected, and whether an earlier one still lives.
//!
//! A server is one process. A second one that introduces itself under the same identity is the successor of one that has
//! died, or a clone: somebody copied a data directory and started both. The earlier process is asked before the later one
//! is believed.

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use quinn::Connection;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::replication::rpc::{Hello, Life};

use crate::limits::{PROBE_PATIENCE, PROBE_PAUSE};
use crate::listen::unmapped;

/// What is known of a speaker before its process is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its process is the one that is known.
    Known,
    /// It is a new process, and has everything that is remembered of its promises.
    New,
    /// One side has less than it promised. It hears so from the other; nothing else is said.
    Fallen,
}

/// Remembers what members have promised, across processes of both sides.
pub trait Acquaintance: Debug + Send + Sync + 'static {
    /// What to say first to a member.
    fn hello(&self, to: u64) -> Hello;

    /// Holds what a proven member says against what is remembered.
    fn judge(&self, hello: &Hello, address: SocketAddr) -> Standing;

    /// Takes note of a member's process, on disk when this returns. False when that is not possible.
    fn note<'a>(&'a self, hello: &'a Hello) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// A second process speaks for a member whose first one still answers.
    fn cloned(&self, hello: &Hello, first: SocketAddr, second: SocketAddr);

    /// A member says that another process of this node still answers it, at `first`.
    fn is_clone(&self, said_by: u64, first: SocketAddr);
}

/// Why a link cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwelcome {
    /// See [`Standing::Fallen`].
    Fallen,
    /// Another process of the speaker answers, there.
    Clone(SocketAddr),
}

/// The connections of each member's processes.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// Held while somebody is introduced: of two processes of one identity one comes first.
    turn: tokio::sync::Mutex<()>,
    links: Mutex<HashMap<u64, Vec<(Life, Connection)>>>,
}

/// A connection that is known to [`Lives`] until this is dropped; kept there, it would never be closed.
#[derive(Debug)]
pub(super) struct Introduced {
    lives: Arc<Lives>,
    node: u64,
    connection: usize,
}

impl Drop for Introduced {
    fn drop(&mut self) {
        let mut links = self.lives.lock();
        if let Some(of_member) = links.get_mut(&self.node) {
            of_member.retain(|(_, connection)| connection.stable_id() != self.connection);
            if of_member.is_empty() {
                links.remove(&self.node);
            }
        }
    }
}

impl Lives {
    /// Lets a proven member use its connection, or says why not.
    pub(super) async fn introduce(
        self: &Arc<Self>,
        book: &dyn Acquaintance,
        hello: &Hello,
        connection: &Connection,
    ) -> Result<Introduced, Unwelcome> {
        let _turn = self.turn.lock().await;
        let standing = book.judge(hello, unmapped(connection.remote_address()));
        if standing != Standing::Known {
            let mut answers = JoinSet::new();
            for earlier in self.of_other_lives(hello) {
                answers.spawn(async move { answers_now(&earlier).await.then(|| unmapped(earlier.remote_address())) });
            }
            while let Some(answered) = answers.join_next().await {
                if let Ok(Some(first)) = answered {
                    book.cloned(hello, first, unmapped(connection.remote_address()));
                    return Err(Unwelcome::Clone(first));
                }
            }
            if standing == Standing::Fallen || !book.note(hello).await {
                return Err(Unwelcome::Fallen);
            }
        }
        self.lock().entry(hello.node).or_default().push((hello.life, connection.clone()));
        Ok(Introduced { lives: self.clone(), node: hello.node, connection: connection.stable_id() })
    }

    fn of_other_lives(&self, hello: &Hello) -> Vec<Connection> {
        let links = self.lock();
        let of_member = links.get(&hello.node).map(Vec::as_slice).unwrap_or_default();
        of_member.iter().filter(|(life, _)| *life != hello.life).map(|(_, connection)| connection.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Vec<(Life, Connection)>>> {
        self.links.lock().expect("nobody panics while holding this lock")
    }
}

/// Large enough to be answered with a denial, which is shorter than what it denies.
const PROBE: [u8; 64] = [0; 64];

/// Whether a process still holds the other end. One that has died on a machine that runs is known at once: whoever has its
/// port now denies the connection.
pub(super) async fn answers_now(connection: &Connection) -> bool {
    let heard = connection.stats().udp_rx.datagrams;
    // Anything will do that has to be acknowledged; no message begins with zeros.
    if connection.send_datagram((&PROBE[..]).into()).is_err() {
        return false;
    }
    let deadline = Instant::now() + PROBE_PATIENCE.max(3 * connection.rtt());
    while connection.close_reason().is_none() && Instant::now() < deadline {
        if connection.stats().udp_rx.datagrams > heard {
            // The last words of a dead process would be followed by a denial.
            tokio::time::sleep(PROBE_PAUSE).await;
            return connection.close_reason().is_none();
        }
        tokio::time::sleep(PROBE_PAUSE).await;
    }
    false
}
