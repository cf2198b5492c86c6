//! From one client over the cluster to another: how long until a message is pushed to the one it is for, stored at a
//! majority before. The receiver's clock is the sender's, for both are in this process.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use wire::chat::request::{Send, Sync};
use wire::chat::{Event, FromClient, Reply, Request};
use wire::codec::Codec;

use super::TEXT_BYTES;
use super::usage::round;
use crate::chat_client::Client;
use crate::cluster::Cluster;
use crate::now;

/// Pairs of people in the measurement of throughput.
const PAIRS: usize = 16;

/// Messages of each of them under way.
const WINDOW: usize = 32;

/// How long a pair that says nothing is listened to.
const IDLE: Duration = Duration::from_secs(10);

/// One way through the cluster.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// `same_node`: both are connected to the leader; `other_node`: both to followers, not to the same.
    pub path: &'static str,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The slowest.
    pub max_us: f64,
    /// Messages measured.
    pub messages: u64,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// One message at a time.
    pub rows: Vec<Row>,
    /// Delivered messages per second of [`PAIRS`] pairs with [`WINDOW`] messages under way each.
    pub pairs16_msgs_per_s: f64,
    /// Bytes that an idle pair received in [`IDLE`], which is shorter than the time between two keep-alives.
    pub idle_bytes: usize,
}

/// Measures on a cluster of three.
///
/// # Errors
/// When a connection fails or something unexpected is said.
pub fn run(cluster: &Cluster, codec: Codec, measure: Duration) -> Result<Latency> {
    let leader = cluster.leader();
    let mut followers = (0..cluster.nodes.len()).filter(|&node| node != leader);
    let address = |node: usize| cluster.nodes[node].address();
    let at_leader = (address(leader), address(leader));
    let (one, other) = (followers.next().context("no follower")?, followers.next().context("one follower only")?);
    let rows = vec![
        one_way("same_node", codec, at_leader, measure)?,
        one_way("other_node", codec, (address(one), address(other)), measure)?,
    ];
    let idle_bytes = idle(codec, (address(one), address(other)))?;
    let pairs16_msgs_per_s = pairs(codec, at_leader, measure)?;
    Ok(Latency { rows, pairs16_msgs_per_s, idle_bytes })
}

/// A pair: the sender, the receiver who is pushed what comes, and their conversation.
fn pair(codec: Codec, (from, to): (SocketAddr, SocketAddr), name: &str) -> Result<(Client, Client, u64)> {
    let receiver = format!("{name}-receiver");
    let mut listening = Client::logged_in(to, codec, &receiver)?;
    let mut sending = Client::logged_in(from, codec, &format!("{name}-sender"))?;
    let conversation = sending.open(&receiver)?;
    let mut cursor = 0;
    loop {
        let sync = Request::Sync(Sync { cursor, ..Sync::default() });
        let (next, more) = listening.ask(sync, |reply| match reply {
            Reply::Changes(changes) => Ok((changes.cursor, changes.more)),
            other => bail!("to the sync: {other:?}"),
        })?;
        cursor = next;
        if !more {
            return Ok((sending, listening, conversation));
        }
    }
}

/// Waits until a message is pushed.
fn receive(client: &mut Client) -> Result<()> {
    while !client.event(|event| Ok(matches!(event, Event::Message(_))))? {}
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds below minutes")]
fn one_way(path: &'static str, codec: Codec, at: (SocketAddr, SocketAddr), measure: Duration) -> Result<Row> {
    let (mut sending, mut listening, conversation) = pair(codec, at, path)?;
    let text = "x".repeat(TEXT_BYTES);
    let mut histogram = Histogram::<u64>::new_with_bounds(1_000, 120_000_000_000, 3)?;
    let (warm, begun) = (measure / 4, now());
    while begun.elapsed() < warm + measure {
        let seq = sending.take_seq();
        let sent = now();
        let id = sending.send(Request::Send(Send { conversation, text: &text, seq, ..Send::default() }))?;
        receive(&mut listening)?;
        if begun.elapsed() >= warm {
            histogram.saturating_record(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        sending.answer(id, |reply| match reply {
            Reply::Sent(_) => Ok(()),
            other => bail!("instead of an acknowledgement: {other:?}"),
        })?;
    }
    let us = |nanoseconds: u64| round(nanoseconds as f64 / 1e3, 0);
    Ok(Row {
        path,
        p50_us: us(histogram.value_at_quantile(0.5)),
        p99_us: us(histogram.value_at_quantile(0.99)),
        max_us: us(histogram.max()),
        messages: histogram.len(),
    })
}

/// Listens to a pair that says nothing.
fn idle(codec: Codec, at: (SocketAddr, SocketAddr)) -> Result<usize> {
    let (sending, listening, _) = pair(codec, at, "idle")?;
    let mut bytes = 0;
    for client in [sending, listening] {
        let (mut stream, ..) = client.into_stream();
        stream.set_read_timeout(Some(IDLE / 2))?;
        let mut chunk = [0; 4096];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => bail!("the node closed an idle connection"),
                Ok(count) => bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("listening"),
            }
        }
    }
    Ok(bytes)
}

/// Delivered messages per second.
#[expect(clippy::cast_precision_loss, reason = "a count of one measurement")]
fn pairs(codec: Codec, at: (SocketAddr, SocketAddr), measure: Duration) -> Result<f64> {
    let warm = measure / 4;
    let begun = now();
    let workers: Vec<_> = (0..PAIRS)
        .map(|place| {
            let (sending, mut listening, conversation) = pair(codec, at, &format!("pair{place}"))?;
            let (received, receipts) = channel();
            for _ in 0..WINDOW {
                received.send(()).context("nobody sends")?;
            }
            let sender = thread::spawn(move || talk(codec, sending, conversation, &receipts));
            Ok(thread::spawn(move || -> Result<u64> {
                let counted =
                    listen(&mut listening, received, || begun.elapsed() >= warm, || begun.elapsed() >= warm + measure);
                match sender.join() {
                    Ok(sent) => sent.and(counted),
                    Err(_) => bail!("a sender panicked"),
                }
            }))
        })
        .collect::<Result<_>>()?;
    let mut delivered = 0;
    for worker in workers {
        delivered += worker.join().unwrap_or_else(|_| bail!("a listener panicked"))?;
    }
    Ok(round(delivered as f64 / measure.as_secs_f64(), 0))
}

/// Counts what is received while it counts; each receipt lets the sender send again.
fn listen(
    client: &mut Client,
    received: Sender<()>,
    counts: impl Fn() -> bool,
    over: impl Fn() -> bool,
) -> Result<u64> {
    let mut count = 0;
    while !over() {
        receive(client)?;
        count += u64::from(counts());
        // The sender has failed and says why itself.
        if received.send(()).is_err() {
            break;
        }
    }
    Ok(count)
}

/// Sends one message for each receipt; what is answered is thrown away.
fn talk(codec: Codec, client: Client, conversation: u64, receipts: &Receiver<()>) -> Result<()> {
    let text = "x".repeat(TEXT_BYTES);
    let (mut stream, mut id, mut seq) = client.into_stream();
    let mut answers = stream.try_clone()?;
    let drain = thread::spawn(move || while matches!(answers.read(&mut [0; 16 << 10]), Ok(1..)) {});
    let mut bytes = Vec::new();
    while receipts.recv().is_ok() {
        bytes.clear();
        // Everything that may go now goes together.
        for _ in 0..=receipts.try_iter().count() {
            let send = Request::Send(Send { conversation, text: &text, seq, ..Send::default() });
            codec.encode_frame_to_vec(&FromClient { id, request: Some(send) }, &mut bytes)?;
            (id, seq) = (id + 1, seq + 1);
        }
        stream.write_all(&bytes)?;
    }
    stream.shutdown(Shutdown::Both)?;
    drop(drain.join());
    Ok(())
}
