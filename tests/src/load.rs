//! Clients that send without pause, move to another node when theirs fails, and write down what they were told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wire::codec::Codec;

use crate::cluster::Cluster;
use crate::legacy_client::{CallError, Client};
use crate::oracle::{Ledger, Told};
use crate::{wait_for, wait_until};

/// Running clients and what they were told.
pub struct Load {
    /// Everything they tried.
    pub ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `clients` clients, spread over the nodes and both codecs. Each two share a conversation, so that its order
    /// comes of several connections.
    ///
    /// # Panics
    /// When the cluster does not serve.
    pub fn start(cluster: &Cluster, clients: usize) -> Self {
        let addresses: Arc<[SocketAddr]> = cluster.nodes.iter().map(|node| node.address()).collect();
        let mut founder = Client::connect(addresses[0], Codec::Json).expect("a started cluster serves");
        for client in 0..clients {
            founder.signup(&name(client)).expect("a started cluster makes accounts");
        }
        let ledger = Arc::new(Ledger::default());
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients)
            .map(|client| {
                let (addresses, ledger, stop) = (addresses.clone(), ledger.clone(), stop.clone());
                thread::spawn(move || talk(client, &addresses, &ledger, &stop))
            })
            .collect();
        Self { ledger, stop, clients }
    }

    /// Waits until that many more messages than now were acknowledged.
    ///
    /// # Panics
    /// When they are not.
    pub fn wait_for_more(&self, messages: usize) {
        let goal = self.ledger.count(Told::Stored) + messages;
        wait_until("further messages to be acknowledged", || self.ledger.count(Told::Stored) >= goal);
    }

    /// The longest time without an acknowledgement that began or ended after `fault`.
    ///
    /// # Panics
    /// When nothing was acknowledged after it.
    pub fn interruption(&self, fault: Instant) -> Duration {
        let times = self.ledger.stored_at();
        let after = times.partition_point(|&time| time < fault);
        let window = &times[after.saturating_sub(1)..];
        window.windows(2).map(|pair| pair[1] - pair[0]).max().expect("messages were acknowledged after the fault")
    }

    /// Lets the clients finish what they began.
    ///
    /// # Panics
    /// When one has panicked.
    pub fn stop(&mut self) {
        self.stop.store(true, Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client does not panic");
        }
    }
}

impl Load {
    /// The end of a test: the clients finish, the nodes stop as equals, and hold what the clients were told.
    ///
    /// # Panics
    /// When anything acknowledged is lost, doubled or reordered, or the nodes do not come to rest.
    pub fn end(mut self, cluster: &Cluster) {
        self.stop();
        cluster.settle();
        cluster.stop();
        self.ledger.check(&cluster.nodes);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A failing test must not leave them running into its neighbours.
        self.stop.store(true, Relaxed);
    }
}

fn name(client: usize) -> String {
    format!("client{client}")
}

fn talk(client: usize, addresses: &[SocketAddr], ledger: &Ledger, stop: &AtomicBool) {
    let (me, peer) = (name(client), name(client ^ 1));
    let codec = Codec::LEGACY[client % Codec::LEGACY.len()];
    let mut turn = client;
    let mut seat = || {
        wait_for("a node that serves", || {
            turn += 1;
            if stop.load(Relaxed) {
                return Some(None);
            }
            let mut connection = Client::logged_in(addresses[turn % addresses.len()], codec, &me).ok()?;
            let chat = connection.start_chat(&me, &peer).ok()?;
            Some(Some((connection, chat)))
        })
    };
    let Some(mut at) = seat() else { return };
    for number in 0.. {
        if stop.load(Relaxed) {
            return;
        }
        // A new text for each attempt: what was told of one says nothing about another.
        let text = format!("{me} says {number}");
        let sent = ledger.record(&text, || at.0.send(&at.1, &me, &text));
        if let Err(CallError::Io(_) | CallError::Refused(_)) = sent {
            match seat() {
                Some(next) => at = next,
                None => return,
            }
        }
    }
}
