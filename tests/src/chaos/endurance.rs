//! What only shows after a long time.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{Message, MessagesReply, Outcome};

use super::{Hogs, pass};
use crate::bench::usage::resident_bytes;
use crate::cluster::{Cluster, Node, Status};
use crate::legacy_client::{Call, CallError, Client};
use crate::{PATIENCE, now, wait_until};

/// Connections that share the requests under way.
const CONNECTIONS: usize = 8;

/// Of the requests of [`memory`], one in so many is a read. A read waits for the writes before it, so [`elections`], which
/// is about full load, has none.
const READ_EVERY: u64 = 64;

/// Text of the messages.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog lets it.";

/// Threads that compete with the nodes for processors.
const HOGS: usize = 2;

/// Growth of a node between the two measurements that is still "the same".
const GROWTH_MAX: u64 = 5 << 20;

/// Requests without pause: each of [`CONNECTIONS`] clients keeps its share of them under way.
struct Flood<'a> {
    addresses: &'a [SocketAddr],
    /// Of each connection.
    window: usize,
    /// One request in so many is a read.
    read_every: u64,
    answered: AtomicU64,
    stop: AtomicBool,
}

impl<'a> Flood<'a> {
    fn new(addresses: &'a [SocketAddr], in_flight: usize, read_every: u64) -> Self {
        let window = (in_flight / CONNECTIONS).max(2);
        Self { addresses, window, read_every, answered: AtomicU64::new(0), stop: AtomicBool::new(false) }
    }

    fn name(connection: usize) -> String {
        format!("flood{connection}")
    }

    fn sign_up(address: SocketAddr) {
        let mut founder = Client::connect(address, Codec::Json).expect("a started cluster serves");
        for connection in 0..CONNECTIONS {
            founder.signup(&Self::name(connection)).expect("a started cluster makes accounts");
        }
    }

    /// One connection, until it is told to stop or `goal` requests were answered over all connections.
    fn run(&self, connection: usize, goal: u64) -> Call<()> {
        let (me, peer) = (Self::name(connection), Self::name(connection ^ 1));
        let codec = Codec::LEGACY[connection % Codec::LEGACY.len()];
        let address = self.addresses[connection % self.addresses.len()];
        let mut client = Client::connect_within(address, codec, PATIENCE)?;
        client.login(&me)?;
        let chat = client.start_chat(&me, &peer)?;
        let send = client.encode(&Request::SendChatMessage {
            chat_id: chat.as_str().into(),
            sender: me.as_str().into(),
            content: TEXT.into(),
        });
        let read =
            client.encode(&Request::GetMessages { chat_id: chat.as_str().into(), current_user: me.as_str().into() });
        let is_read = |number: u64| number % self.read_every == self.read_every - 1;
        let (mut asked, mut answered) = (0, 0);
        while !self.stop.load(Relaxed) && self.answered.load(Relaxed) < goal {
            // Half a window goes out at once: the other half is still being worked on.
            let mut bytes = Vec::new();
            while asked < answered + self.window as u64 {
                bytes.extend_from_slice(if is_read(asked) { &read } else { &send });
                asked += 1;
            }
            client.send_bytes(&bytes)?;
            self.take(&mut client, &mut answered, asked - self.window as u64 / 2, &is_read)?;
        }
        self.take(&mut client, &mut answered, asked, &is_read)
    }

    fn take(&self, client: &mut Client, answered: &mut u64, upto: u64, is_read: &impl Fn(u64) -> bool) -> Call<()> {
        while *answered < upto {
            let (success, said) = if is_read(*answered) {
                let reply: MessagesReply<Vec<Message<String>>, String> = client.receive()?;
                (reply.success == Some(true), reply.error_message)
            } else {
                let outcome: Outcome<String> = client.receive()?;
                (outcome.success, outcome.error_message)
            };
            if !success {
                return Err(CallError::Refused(said));
            }
            *answered += 1;
            self.answered.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// All connections until `goal`, or until `meanwhile` returns.
    fn pour(&self, goal: u64, meanwhile: impl FnOnce()) {
        self.stop.store(false, Relaxed);
        thread::scope(|scope| {
            let connections: Vec<_> = (0..CONNECTIONS).map(|it| scope.spawn(move || self.run(it, goal))).collect();
            meanwhile();
            for connection in connections {
                match connection.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => panic!("without any fault, a request failed: {error}"),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
}

/// What came of [`elections`].
#[derive(Debug, Clone)]
pub struct Steady {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// How long.
    pub ran: Duration,
    /// Requests answered.
    pub answered: u64,
    /// Term before and after. Equal, or there was an election.
    pub terms: (u64, u64),
}

impl Steady {
    /// Whether it is as it should be.
    pub fn holds(&self) -> bool {
        self.terms.0 == self.terms.1
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        json!({
            "chaos": "elections", "nodes": self.nodes, "seconds": self.ran.as_secs(), "requests": self.answered,
            "term_before": self.terms.0, "term_after": self.terms.1, "holds": self.holds(),
        })
    }
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, (before, after)) = (self.ran.as_secs_f64(), self.terms);
        let verdict = if self.holds() { "no election without cause" } else { "ELECTED WITHOUT CAUSE" };
        #[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
        let rate = self.answered as f64 / seconds;
        write!(f, "{} requests in {seconds:.0} s ({rate:.0}/s); term {before}, then {after}\n{verdict}", self.answered)
    }
}

/// Full load for `length`, and programs that compete for the processors: the term must stay.
///
/// # Panics
/// When a request fails.
pub fn elections(nodes: usize, length: Duration, in_flight: usize, progress: &dyn Fn(&str)) -> Steady {
    let cluster = Cluster::start(nodes);
    let addresses: Vec<_> = cluster.nodes.iter().map(Node::address).collect();
    Flood::sign_up(addresses[0]);
    let flood = Flood::new(&addresses, in_flight, u64::MAX);
    let term = || cluster.running().filter_map(Node::status).map(|status: Status| status.term).max().unwrap_or(0);
    let before = term();
    let hogs = Hogs::start(HOGS);
    let began = now();
    flood.pour(u64::MAX, || {
        let mut told = 0;
        while began.elapsed() < length && term() == before {
            let seconds = began.elapsed().as_secs();
            if seconds >= told + 5 {
                told = seconds;
                progress(&format!("{seconds:>5} s  {} requests, term {before}", flood.answered.load(Relaxed)));
            }
            pass(Duration::from_millis(250));
        }
        flood.stop.store(true, Relaxed);
    });
    drop(hogs);
    let steady =
        Steady { nodes, ran: began.elapsed(), answered: flood.answered.load(Relaxed), terms: (before, term()) };
    cluster.settle();
    cluster.stop();
    steady
}

/// What came of [`memory`].
#[derive(Debug, Clone)]
pub struct Memory {
    /// Requests at the first and at the second measurement.
    pub requests: (u64, u64),
    /// Resident bytes of each node at both.
    pub resident: Vec<(String, u64, u64)>,
}

impl Memory {
    /// Whether it is as it should be.
    pub fn holds(&self) -> bool {
        self.resident.iter().all(|(_, first, second)| *second <= first + GROWTH_MAX)
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        let nodes: Vec<_> = self
            .resident
            .iter()
            .map(|(name, first, second)| json!({ "name": name, "first_bytes": first, "second_bytes": second }))
            .collect();
        json!({
            "chaos": "memory", "first_requests": self.requests.0, "second_requests": self.requests.1, "nodes": nodes,
            "holds": self.holds(),
        })
    }
}

impl fmt::Display for Memory {
    #[expect(clippy::cast_precision_loss, reason = "megabytes to be read by people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (first, second) = self.requests;
        writeln!(f, "resident memory in MB, after {first} and after {second} requests:")?;
        for (name, first, second) in &self.resident {
            let (first, second) = (megabytes(*first), megabytes(*second));
            writeln!(f, "  {name:<6} {first:>7.1} {second:>7.1}  {:+.1}", second - first)?;
        }
        let verdict = if self.holds() { "it does not grow" } else { "IT GROWS" };
        write!(f, "{verdict} (allowed: {:.0} MB)", megabytes(GROWTH_MAX))
    }
}

/// Resident memory of every node after `requests.0` and after `requests.1` requests.
///
/// # Panics
/// When a request fails.
pub fn memory(nodes: usize, requests: (u64, u64), in_flight: usize, progress: &dyn Fn(&str)) -> Memory {
    let cluster = Cluster::start(nodes);
    let addresses: Vec<_> = cluster.nodes.iter().map(Node::address).collect();
    Flood::sign_up(addresses[0]);
    let flood = Flood::new(&addresses, in_flight, READ_EVERY);
    let measure = |goal: u64| -> Vec<u64> {
        flood.pour(goal, || {
            let mut told = 0;
            wait_until_answered(&flood, goal, &mut |answered| {
                if answered >= told + goal / 10 {
                    told = answered;
                    progress(&format!("{answered} requests"));
                }
            });
        });
        // Nothing under way, nobody connected: what is resident now is what is kept.
        cluster.settle();
        wait_until("the nodes to see that the clients have left", || {
            cluster.nodes.iter().all(|node| node.status().is_some_and(|status| status.clients == 0))
        });
        cluster.nodes.iter().map(|node| resident_bytes(node.pid())).collect()
    };
    let first = measure(requests.0);
    let second = measure(requests.1);
    let names = cluster.nodes.iter().map(|node| node.name.clone());
    let resident = names.zip(first).zip(second).map(|((name, first), second)| (name, first, second)).collect();
    cluster.stop();
    Memory { requests, resident }
}

/// Progress is the only deadline: a million requests take as long as they take.
fn wait_until_answered(flood: &Flood<'_>, goal: u64, told: &mut dyn FnMut(u64)) {
    let (mut last, mut since) = (0, now());
    loop {
        let answered = flood.answered.load(Relaxed);
        told(answered);
        if answered >= goal {
            return;
        }
        if answered > last {
            (last, since) = (answered, now());
        }
        if since.elapsed() > PATIENCE {
            // The connections have failed, and say why.
            flood.stop.store(true, Relaxed);
            return;
        }
        pass(Duration::from_millis(100));
    }
}
