//! How long no write is acknowledged anywhere when the leader dies, or hangs.
//!
//! Workers are spread over all nodes, each with one message in flight and a connection to every node, as a program has
//! that knows the cluster. An attempt is given [`ATTEMPT`]; then, and after an error, the worker moves to another node
//! after [`PAUSE`]. Half of them go round in the other order: otherwise all of them come to stand at one node within a few
//! faults, and go from there to the one that hangs together, so that their march is measured and not the cluster.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::{CONVERSATIONS, Protocol, TEXT_BYTES, receiver, sender};
use crate::cluster::Cluster;
use crate::legacy_client::{Call, Client};
use crate::{now, wait_until};

/// Messages in flight.
pub const WORKERS: usize = 64;

/// Longest time a worker waits for one answer.
pub const ATTEMPT: Duration = Duration::from_millis(500);

/// Pause before a worker turns to the next node.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Load before and after a fault.
const AROUND: Duration = Duration::from_secs(2);

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGSTOP, as when a machine hangs; it goes on after the measurement.
    Freeze,
}

/// The gaps of `trials` faults in a row, in milliseconds. Writes flow all the time; between two trials all nodes are
/// back and vote.
///
/// # Errors
/// When the cluster does not serve.
pub fn run(protocol: Protocol, cluster: &Cluster, fault: Fault, trials: usize) -> Result<Vec<f64>> {
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address()).collect();
    let mut founder = Client::connect(addresses[0], protocol.codec()).map_err(|error| anyhow!("{error}"))?;
    for name in (0..WORKERS).map(sender).chain((0..CONVERSATIONS).map(receiver)) {
        // Taken after the first run.
        let _ = founder.signup(&name);
    }
    let voters = cluster.nodes.len();
    let load = Load::default();
    thread::scope(|scope| {
        for place in 0..WORKERS {
            let (load, addresses) = (&load, &addresses);
            scope.spawn(move || Worker::new(protocol, place, addresses).work(load));
        }
        // Ends the workers however this ends.
        let _stop = Stop(&load.stop);
        (0..trials)
            .map(|_| {
                load.run_for(AROUND);
                let leader = &cluster.nodes[cluster.leader()];
                let began = now();
                match fault {
                    Fault::Kill => leader.kill(),
                    Fault::Freeze => leader.freeze(),
                }
                load.wait_for_more(began);
                load.run_for(AROUND);
                let gap = load.longest_gap(began);
                match fault {
                    Fault::Kill => drop(leader.start(None)),
                    Fault::Freeze => leader.thaw(),
                }
                cluster.wait_voters(voters);
                Ok(super::usage::round(gap.as_secs_f64() * 1e3, 0))
            })
            .collect()
    })
}

/// What the workers share.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// When messages were acknowledged.
    stored: Mutex<Vec<Instant>>,
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Load {
    fn stored(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the load run until something was acknowledged that much later than now.
    fn run_for(&self, time: Duration) {
        let from = now() + time;
        self.wait_for_more(from);
    }

    /// Waits until something was acknowledged after `from`.
    fn wait_for_more(&self, from: Instant) {
        wait_until("writes to be acknowledged", || self.stored().last().is_some_and(|&last| last > from));
    }

    /// The longest time without an acknowledgement that ended after `fault`.
    fn longest_gap(&self, fault: Instant) -> Duration {
        let mut stored = self.stored();
        stored.sort_unstable();
        let first = stored.partition_point(|&time| time < fault).saturating_sub(1);
        stored[first..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

/// Sends one message after the other.
struct Worker<'a> {
    protocol: Protocol,
    place: usize,
    addresses: &'a [SocketAddr],
    /// A connection to each node, with the conversation's id.
    seats: Vec<Option<(Client, String)>>,
}

impl<'a> Worker<'a> {
    fn new(protocol: Protocol, place: usize, addresses: &'a [SocketAddr]) -> Self {
        let mut worker = Self { protocol, place, addresses, seats: Vec::new() };
        // Passwords take their time when all come at once, so a seat may be had only later.
        worker.seats = (0..addresses.len()).map(|node| worker.sit_down(node).ok()).collect();
        worker
    }

    fn sit_down(&self, node: usize) -> Call<(Client, String)> {
        let me = sender(self.place);
        let mut client = Client::connect_within(self.addresses[node], self.protocol.codec(), ATTEMPT)?;
        client.login(&me)?;
        let chat = client.start_chat(&me, &receiver(self.place % CONVERSATIONS))?;
        Ok((client, chat))
    }

    fn work(&mut self, load: &Load) {
        let (me, text) = (sender(self.place), "x".repeat(TEXT_BYTES));
        let nodes = self.addresses.len();
        let mut node = self.place % nodes;
        let step = if (self.place / nodes).is_multiple_of(2) { 1 } else { nodes - 1 };
        while !load.stop.load(Relaxed) {
            let seat = self.seats[node].take().map_or_else(|| self.sit_down(node), Ok);
            let sent = seat.and_then(|(mut client, chat)| {
                client.send(&chat, &me, &text)?;
                Ok((client, chat))
            });
            match sent {
                Ok(seat) => {
                    load.stored().push(now());
                    self.seats[node] = Some(seat);
                }
                Err(_) => {
                    thread::park_timeout(PAUSE);
                    node = (node + step) % nodes;
                }
            }
        }
    }
}
