//! A fixed number of messages outstanding; the next is sent when one is acknowledged.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use wire::frame::Splitter;

use super::speaker::{self, Speaker};
use super::usage::{Meter, Usage, round};
use super::{Protocol, grpc_loop};
use crate::cluster::Node;
use crate::now;

/// Longest time without any reply before the measurement is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Connections, each with a user of its own.
    pub connections: usize,
    /// Messages outstanding on each.
    pub window: usize,
    /// Time before the measurement.
    pub warm: Duration,
    /// Time of the measurement.
    pub measure: Duration,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Connections.
    pub connections: usize,
    /// Messages outstanding over all of them.
    pub in_flight: usize,
    /// Acknowledged messages per second.
    pub ops_per_s: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Who used what.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Measures against `target`; `nodes` are those whose use of the machine counts as the servers'.
///
/// # Errors
/// When a message is refused or a connection fails: a figure with holes would not be comparable.
pub fn run(protocol: Protocol, target: SocketAddr, nodes: &[Node], plan: Plan) -> Result<Row> {
    speaker::accounts(target, protocol, plan.connections)?;
    if protocol == Protocol::Grpc {
        return grpc_loop::run(target, nodes, plan);
    }
    let mut connections: Vec<_> = (0..plan.connections)
        .map(|place| Connection::open(target, protocol, place, plan.window))
        .collect::<Result<_>>()?;
    let meter = || meter(nodes);
    let mut recorder = Recorder::new(plan);
    let mut usage = None;
    for connection in &mut connections {
        connection.fill(plan.window)?;
        connection.write()?;
    }
    let mut scratch = vec![0; READ_BYTES];
    let measured = loop {
        let ready = wait(&connections)?;
        for (connection, _) in connections.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let answered = connection.read(&mut scratch, &mut recorder)?;
            connection.fill(answered)?;
            connection.write()?;
        }
        match (&usage, recorder.last) {
            (None, last) if last >= recorder.from => usage = Some(meter()),
            (Some(begun), last) if last >= recorder.to => break begun.read(),
            _ => {}
        }
    };
    Ok(recorder.row(plan, measured))
}

/// Looks at what the nodes use from now on.
pub(super) fn meter(nodes: &[Node]) -> Meter {
    let disk = nodes.first().map_or(Path::new("."), |node| &node.dir);
    Meter::start(nodes.iter().filter(|node| node.is_running()), disk)
}

/// Waits until something can be read or written, and says on which connections.
fn wait(connections: &[Connection]) -> Result<Vec<bool>> {
    let mut sockets: Vec<_> = connections.iter().map(|it| PollFd::new(&it.stream, it.interest())).collect();
    let silence = Timespec::try_from(SILENCE_MAX).expect("a short time");
    let count = loop {
        match poll(&mut sockets, Some(&silence)) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.context("waiting for replies")?,
        }
    };
    if count == 0 {
        bail!("no reply for {} s", SILENCE_MAX.as_secs());
    }
    Ok(sockets.iter().map(|socket| !socket.revents().is_empty()).collect())
}

/// Latencies within the measured window.
pub(super) struct Recorder {
    histogram: Histogram<u64>,
    pub(super) from: Instant,
    pub(super) to: Instant,
    /// When the newest reply was read.
    pub(super) last: Instant,
}

impl Recorder {
    pub(super) fn new(plan: Plan) -> Self {
        let last = now();
        let from = last + plan.warm;
        // From a microsecond to two minutes, three digits.
        let histogram = Histogram::new_with_bounds(1_000, 120_000_000_000, 3).expect("fitting bounds");
        Self { histogram, from, to: from + plan.measure, last }
    }

    /// Counts an operation by the time it was completed.
    pub(super) fn done(&mut self, started: Instant) {
        if (self.from..self.to).contains(&self.last) {
            let latency = u64::try_from((self.last - started).as_nanos()).unwrap_or(u64::MAX);
            self.histogram.saturating_record(latency);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one measurement, nanoseconds below minutes")]
    pub(super) fn row(&self, plan: Plan, usage: Usage) -> Row {
        let milliseconds = |nanoseconds: u64| round(nanoseconds as f64 / 1e6, 3);
        let quantile = |q| milliseconds(self.histogram.value_at_quantile(q));
        Row {
            connections: plan.connections,
            in_flight: plan.connections * plan.window,
            ops_per_s: round(self.histogram.len() as f64 / plan.measure.as_secs_f64(), 0),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: milliseconds(self.histogram.max()),
            usage,
        }
    }
}

/// One connection, logged in, and what is outstanding on it.
struct Connection {
    stream: TcpStream,
    splitter: Splitter,
    speaker: Speaker,
    input: Vec<u8>,
    output: Vec<u8>,
    /// When those outstanding were sent; answers come in this order.
    outstanding: VecDeque<Instant>,
}

impl Connection {
    fn open(target: SocketAddr, protocol: Protocol, place: usize, window: usize) -> Result<Self> {
        let (speaker, stream, splitter) = Speaker::open(target, protocol, place)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            splitter,
            speaker,
            input: Vec::with_capacity(READ_BYTES),
            output: Vec::new(),
            outstanding: VecDeque::with_capacity(window),
        })
    }

    fn interest(&self) -> PollFlags {
        if self.output.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    /// Queues further messages.
    fn fill(&mut self, messages: usize) -> Result<()> {
        let started = now();
        for _ in 0..messages {
            self.speaker.say(&mut self.output)?;
            self.outstanding.push_back(started);
        }
        Ok(())
    }

    /// Writes what the socket takes.
    fn write(&mut self) -> Result<()> {
        let mut written = 0;
        while written < self.output.len() {
            match self.stream.write(&self.output[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("sending"),
            }
        }
        self.output.drain(..written);
        Ok(())
    }

    /// Reads everything there is; returns how many messages were acknowledged.
    fn read(&mut self, scratch: &mut [u8], recorder: &mut Recorder) -> Result<usize> {
        let mut answered = 0;
        loop {
            match self.stream.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => self.input.extend_from_slice(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answered),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("receiving"),
            }
            recorder.last = now();
            let mut taken = 0;
            while let Some(end) = self.splitter.push(&self.input[taken..])? {
                self.speaker.hear(&mut self.input[taken..taken + end])?;
                taken += end;
                answered += 1;
                recorder.done(self.outstanding.pop_front().context("a reply to nothing")?);
            }
            self.input.drain(..taken);
        }
    }
}
