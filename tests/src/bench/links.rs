//! What a cluster achieves over long, narrow and lossy lines between its nodes ([`crate::switch`]).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use wire::chat::request::Send;
use wire::chat::{Reply, Request};
use wire::codec::Codec;

use super::TEXT_BYTES;
use crate::chat_client::Client;
use crate::cluster::Cluster;
use crate::now;
use crate::proxy;
use crate::switch::Shape;

/// The longest message there is.
const LONG_BYTES: usize = wire::limits::MESSAGE_TEXT_BYTES_MAX;

/// Messages of [`LONG_BYTES`] that a follower misses: 4 MiB.
const MISSED: usize = 64;

/// Messages under way together where throughput is measured.
const SHORT_IN_FLIGHT: usize = 16;
const LONG_IN_FLIGHT: usize = 4;

/// Single writes of which the median is told.
const SINGLES: usize = 5;

/// Over the narrowest line it takes 34 s at least.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(300);

/// A kind of line between all nodes, and what is sent over it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Case {
    /// Milliseconds there and back.
    pub round_trip_ms: u64,
    /// Megabits in a second that each node may send; as many as there are if absent.
    pub megabits: Option<u64>,
    /// Datagrams lost of a hundred.
    pub loss_percent: u8,
    /// Bytes of each message.
    pub message_bytes: usize,
}

/// The cases of the table in `docs/performance.md`.
pub const CASES: [Case; 10] = {
    const fn long(round_trip_ms: u64) -> Case {
        Case { round_trip_ms, megabits: None, loss_percent: 0, message_bytes: TEXT_BYTES }
    }
    const fn narrow(megabits: u64) -> Case {
        Case { round_trip_ms: 10, megabits: Some(megabits), loss_percent: 0, message_bytes: LONG_BYTES }
    }
    const LOSSY: Case = Case { round_trip_ms: 10, megabits: None, loss_percent: 5, message_bytes: TEXT_BYTES };
    [long(0), long(10), long(50), long(100), long(300), long(1000), narrow(100), narrow(10), narrow(1), LOSSY]
};

/// The findings of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The lines.
    #[serde(flatten)]
    pub case: Case,
    /// Acknowledged messages in a second, several under way together.
    pub writes_per_s: f64,
    /// Median time of one message under way alone, milliseconds.
    pub p50_ms: f64,
    /// Seconds from the start of a follower that has missed 4 MiB until it has applied them.
    pub catch_up_s: f64,
    /// Terms begun meanwhile.
    pub elections: u64,
}

impl Case {
    fn shape(self) -> Shape {
        let shape = Shape::round_trip(Duration::from_millis(self.round_trip_ms));
        let shape = Shape { loss: f64::from(self.loss_percent) / 100.0, ..shape };
        self.megabits.map_or(shape, |megabits| shape.with_rate(megabits))
    }
}

struct Sender {
    client: Client,
    conversation: u64,
    text: String,
}

impl Sender {
    fn send(&mut self) -> Result<u64> {
        let seq = self.client.take_seq();
        let send = Send { conversation: self.conversation, text: &self.text, seq, ..Send::default() };
        self.client.send(Request::Send(send))
    }

    fn stored(&mut self, id: u64) -> Result<()> {
        self.client.answer(id, |reply| match reply {
            Reply::Sent(_) => Ok(()),
            other => bail!("to a message: {other:?}"),
        })
    }

    /// Keeps so many under way for a time; returns how many were stored in a second.
    fn throughput(&mut self, in_flight: usize, time: Duration) -> Result<f64> {
        let begin = now();
        let mut asked = std::collections::VecDeque::new();
        let mut stored: u32 = 0;
        while begin.elapsed() < time {
            while asked.len() < in_flight {
                asked.push_back(self.send()?);
            }
            if let Some(id) = asked.pop_front() {
                self.stored(id)?;
                stored += 1;
            }
        }
        let took = begin.elapsed();
        for id in asked {
            self.stored(id)?;
        }
        Ok(f64::from(stored) / took.as_secs_f64())
    }
}

/// Measures one case on a fresh cluster of three, each phase for `time`.
///
/// # Errors
/// A client is refused or loses its connection.
pub fn run(case: Case, time: Duration) -> Result<Row> {
    let (cluster, network) = proxy::start(3);
    let leader = cluster.leader();
    let address = cluster.nodes[leader].address();
    let mut client = Client::logged_in(address, Codec::Samira2, "ann")?;
    Client::logged_in(address, Codec::Samira2, "bob")?;
    let conversation = client.open("bob")?;
    let mut sender = Sender { client, conversation, text: "x".repeat(LONG_BYTES) };
    let before = term(&cluster)?;

    // The follower misses its part over lines as they are.
    let away = cluster.follower();
    network.close(cluster.nodes[away].address());
    cluster.nodes[away].kill();
    for _ in 0..MISSED {
        let id = sender.send()?;
        sender.stored(id)?;
    }
    network.shape(case.shape());
    network.open(cluster.nodes[away].address());
    let back = now();
    cluster.nodes[away].start(None);
    let catch_up_s = catches_up(&cluster, away, leader, back)?.as_secs_f64();

    sender.text = "x".repeat(case.message_bytes);
    let mut singles = Vec::new();
    for _ in 0..SINGLES {
        let begin = now();
        let id = sender.send()?;
        sender.stored(id)?;
        singles.push(begin.elapsed());
    }
    singles.sort_unstable();
    let in_flight = if case.message_bytes == LONG_BYTES { LONG_IN_FLIGHT } else { SHORT_IN_FLIGHT };
    let writes_per_s = sender.throughput(in_flight, time)?;
    let elections = term(&cluster)?.saturating_sub(before);
    network.shape(Shape::default());
    cluster.stop();
    Ok(Row { case, writes_per_s, p50_ms: singles[SINGLES / 2].as_secs_f64() * 1000.0, catch_up_s, elections })
}

fn term(cluster: &Cluster) -> Result<u64> {
    cluster.running().filter_map(|node| node.status()).map(|status| status.term).max().context("no node answers")
}

fn catches_up(cluster: &Cluster, behind: usize, ahead: usize, begin: Instant) -> Result<Duration> {
    let applied = |node: usize| cluster.nodes[node].status().and_then(|status| status.applied);
    let goal = applied(ahead).context("the leader answers")?;
    while applied(behind) < Some(goal) {
        if begin.elapsed() > CATCH_UP_PATIENCE {
            bail!("the follower does not catch up");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(begin.elapsed())
}
