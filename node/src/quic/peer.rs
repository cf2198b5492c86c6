//! One peer as this node dials it.
//!
//! Dialling happens in a task of its own, so that a cancelled call never kills a connection attempt. Streams are long-lived; a call takes one out of its lane and puts it back when
//! the answer has come. A call that is cancelled in between drops its stream, which resets it: the lane stays clean.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use wire::limits::PEER_FRAME_BYTES_MAX;
use wire::replication::decode;
use wire::replication::encode;
use wire::replication::rpc::{Datagram, Hello, PeerReply, PeerRequest};

use super::dial;
use super::endpoint::{Dialler, NEWCOMER, is_starting};
use super::frame::{encode_frame, read_frame, write_frame};
use super::line::Line;
use super::lives::{Introduced, answers_now};
use super::places::Places;
use crate::limits::{DIAL_AGAIN, DIAL_PAUSE_MAX, DIAL_PAUSE_MIN, DIAL_TIMEOUT, DIALS_MAX};
use crate::listen::unmapped;

/// What a stream is used for. Lanes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes: rare, urgent.
    Vote,
    /// Appends without entries: heartbeats, and what a leader asks before it answers a read.
    Heartbeat,
    /// Appends with entries.
    Append,
    /// Snapshot transfer: long, never urgent.
    Snapshot,
    /// Forwarded writes.
    Forward,
    /// Read indexes.
    Read,
    /// Everything else.
    Control,
    /// Presence and typing: frequent, never urgent.
    Whisper,
}

impl Lane {
    /// Larger goes first when both have data to send.
    fn priority(self) -> i32 {
        match self {
            Lane::Vote | Lane::Heartbeat => 3,
            Lane::Append => 2,
            Lane::Forward | Lane::Read | Lane::Control => 1,
            Lane::Snapshot | Lane::Whisper => 0,
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no connection; nothing was sent.
    #[error("not connected")]
    Unreachable,
    /// The answer did not come in time; the request may have been carried out.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or the answer makes no sense; the request may have been carried out.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
}

/// A peer that is kept connected as long as this handle lives.
#[derive(Debug)]
pub struct Peer {
    id: u64,
    places: Arc<watch::Sender<Places>>,
    connection: watch::Receiver<Option<Connection>>,
    line: Arc<Line>,
    lost: Arc<Mutex<Instant>>,
    arrived: Arc<Notify>,
    streams: Mutex<HashMap<Lane, Stream>>,
    dialling: AbortHandle,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.dialling.abort();
    }
}

#[derive(Debug)]
struct Stream {
    send: SendStream,
    recv: RecvStream,
    buffer: Vec<u8>,
    connection: usize,
}

impl Peer {
    /// Starts dialling.
    pub(super) fn new(dialler: Arc<Dialler>, id: u64, address: String) -> Self {
        let places = Arc::new(watch::Sender::new(Places::listed(&address)));
        let (connected, connection) = watch::channel(None);
        let (arrived, line) = (Arc::new(Notify::new()), Arc::new(Line::default()));
        let lost = Arc::new(Mutex::new(Instant::now()));
        let keep = keep_connected(dialler, id, places.clone(), arrived.clone(), connected, line.clone(), lost.clone());
        let dialling = tokio::spawn(keep).abort_handle();
        Peer { id, places, connection, line, lost, arrived, streams: Mutex::default(), dialling }
    }

    /// Its node id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a connection stands.
    pub fn is_connected(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// What is known of the line to it.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// How long a packet takes to it and its acknowledgement back; as last measured where there is no connection.
    pub fn round_trip(&self) -> Duration {
        if let Some(connection) = &*self.connection.borrow() {
            self.line.measured(connection.rtt());
        }
        self.line.round_trip()
    }

    /// Packets with parts of streams sent so far on the present connection, those that were sent again included. It grows as
    /// long as the other side acknowledges.
    pub fn moved(&self) -> u64 {
        self.connection.borrow().as_ref().map_or(0, |connection| connection.stats().frame_tx.stream)
    }

    /// Sends a datagram: before anything that waits on a stream, and as lost as a datagram may get.
    pub fn send_datagram(&self, datagram: &Datagram) {
        if let Some(connection) = &*self.connection.borrow() {
            // Fails only on a connection that is ending.
            let _ = connection.send_datagram(encode(datagram).into());
        }
    }

    /// For how long no connection has stood, as far as this node can tell; none while one stands.
    pub fn unreached_for(&self) -> Option<Duration> {
        let lost = *self.lost.lock().expect("nobody panics while holding this lock");
        (!self.is_connected()).then(|| lost.elapsed())
    }

    /// Returns once a connection stands.
    pub async fn wait_connected(&self) {
        if self.connected().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// It has dialled us: if it was away it is back, and need not be waited for any longer.
    pub fn arrived(&self) {
        self.arrived.notify_one();
    }

    /// The address that the cluster lists for it now.
    pub fn set_address(&self, address: &str) {
        self.places.send_if_modified(|places| {
            let changed = places.listed != address;
            if changed {
                address.clone_into(&mut places.listed);
            }
            changed
        });
    }

    /// Where another member says that it reaches it now, if anywhere.
    pub fn told(&self, teller: u64, address: Option<&str>) {
        self.places.send_if_modified(|places| places.tell(teller, address));
    }

    /// Where it is reached, and a number of the link, while that stands.
    pub fn link(&self) -> Option<(SocketAddr, usize)> {
        let connection = self.connection.borrow().clone()?;
        Some((unmapped(connection.remote_address()), connection.stable_id()))
    }

    /// Ends the link with this number, because its process seems to be gone, unless somebody still answers over it: a server
    /// that stops closes its TCP port before it has said everything.
    pub async fn end_unless_answered(&self, link: usize) {
        let Some(connection) = self.connection.borrow().clone().filter(|it| it.stable_id() == link) else { return };
        // The last words of a dead process may still arrive and pass for an answer, but not twice.
        if !answers_now(&connection).await || !answers_now(&connection).await {
            connection.close(VarInt::from_u32(0), b"this process is gone");
        }
    }

    /// Where it is reached, or was last, and where it is listed; names are not looked up for it.
    pub fn whereabouts(&self) -> Vec<SocketAddr> {
        let places = self.places.borrow();
        let listed = dial::literal(&places.listed).filter(|listed| places.reached != Some(*listed));
        places.reached.into_iter().chain(listed).collect()
    }

    /// Asks and waits for the answer, at most `timeout`, part of which may pass waiting for a connection.
    ///
    /// # Errors
    /// See [`CallError`]; only [`CallError::Unreachable`] promises that nothing was sent.
    pub async fn call(&self, lane: Lane, request: &PeerRequest<'_>, timeout: Duration) -> Result<PeerReply, CallError> {
        let frame = encode_frame(request);
        self.exchange(lane, timeout, async |stream| write_frame(&mut stream.send, &frame).await).await
    }

    /// As [`Peer::call`], with `content` behind the request on the same stream.
    ///
    /// # Errors
    /// As [`Peer::call`].
    pub async fn call_with_content(
        &self,
        request: &PeerRequest<'_>,
        content: impl std::io::Read,
        chunk_bytes: usize,
        timeout: Duration,
    ) -> Result<PeerReply, CallError> {
        let frame = encode_frame(request);
        let mut content = content;
        self.exchange(Lane::Snapshot, timeout, async |stream| {
            write_frame(&mut stream.send, &frame).await?;
            let mut chunk = vec![0; chunk_bytes];
            loop {
                // Reads of a freshly written local file: short, and the pages are in memory.
                let read = content.read(&mut chunk)?;
                if read == 0 {
                    return Ok(());
                }
                stream.send.write_all(&chunk[..read]).await.map_err(io::Error::other)?;
            }
        })
        .await
    }

    async fn exchange(
        &self,
        lane: Lane,
        timeout: Duration,
        write: impl AsyncFnOnce(&mut Stream) -> io::Result<()>,
    ) -> Result<PeerReply, CallError> {
        let mut sent = false;
        let outcome = tokio::time::timeout(timeout, async {
            let connection = self.connected().await?;
            let mut stream = self.take(lane, &connection).await?;
            sent = true;
            let written = write(&mut stream).await;
            // Whoever does not want the rest has said why before it stopped reading.
            let stopped = written.as_ref().is_err_and(is_stop);
            if !stopped {
                written?;
            }
            let frame = read_frame(&mut stream.recv, &mut stream.buffer, PEER_FRAME_BYTES_MAX).await?;
            let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let reply = decode(frame).map_err(io::Error::other)?;
            if stopped {
                return Ok(reply);
            }
            self.streams.lock().expect("nobody panics while holding this lock").insert(lane, stream);
            Ok(reply)
        })
        .await;
        match outcome {
            Ok(result) => result,
            Err(_) if sent => Err(CallError::TimedOut),
            Err(_) => Err(CallError::Unreachable),
        }
    }

    async fn connected(&self) -> Result<Connection, CallError> {
        let mut connection = self.connection.clone();
        let current = connection.wait_for(Option::is_some).await.map_err(|_| CallError::Unreachable)?;
        current.clone().ok_or(CallError::Unreachable)
    }

    /// A stream of this connection for this lane: the idle one, or a new one.
    async fn take(&self, lane: Lane, connection: &Connection) -> Result<Stream, CallError> {
        let idle = self.streams.lock().expect("nobody panics while holding this lock").remove(&lane);
        if let Some(stream) = idle
            && stream.connection == connection.stable_id()
        {
            return Ok(stream);
        }
        let (send, recv) = connection.open_bi().await.map_err(|_| CallError::Unreachable)?;
        // Only fails on a stream that is closed already, which the next write will say as well.
        let _ = send.set_priority(lane.priority());
        Ok(Stream { send, recv, buffer: Vec::new(), connection: connection.stable_id() })
    }
}

/// Whether a write failed because the other side reads no further.
fn is_stop(error: &io::Error) -> bool {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<quinn::WriteError>());
    matches!(reason, Some(quinn::WriteError::Stopped(_)))
}

async fn keep_connected(
    dialler: Arc<Dialler>,
    id: u64,
    places: Arc<watch::Sender<Places>>,
    arrived: Arc<Notify>,
    connected: watch::Sender<Option<Connection>>,
    line: Arc<Line>,
    lost: Arc<Mutex<Instant>>,
) {
    let mut known = places.subscribe();
    let mut pause = DIAL_PAUSE_MIN;
    let (mut last_error, mut new) = (String::new(), true);
    loop {
        let dialled = dial_again_and_again(&dialler, id, &mut known, &arrived).await;
        match dialled {
            Ok(((connection, introduced), address)) => {
                line.measured(connection.rtt());
                tracing::info!(peer = format_args!("{id:016x}"), %address, "connected");
                (pause, last_error, new) = (DIAL_PAUSE_MIN, String::new(), false);
                // Nobody has to dial again for that.
                places.send_if_modified(|places| {
                    places.reached = Some(address);
                    false
                });
                connected.send_replace(Some(connection.clone()));
                dialler.changed.send_replace(());
                let reason = hear_datagrams(&connection, &line).await;
                drop(introduced);
                dialler.ended(id, &reason);
                *lost.lock().expect("nobody panics while holding this lock") = Instant::now();
                connected.send_replace(None);
                dialler.changed.send_replace(());
                tracing::info!(peer = format_args!("{id:016x}"), %address, %reason, "disconnected");
            }
            Err(error) => {
                let error = error.to_string();
                if error != last_error {
                    // Each newcomer is dialled before it has heard that it is let in.
                    if new && error.contains(NEWCOMER) {
                        tracing::debug!(peer = format_args!("{id:016x}"), error, "cannot connect yet");
                    } else {
                        tracing::info!(peer = format_args!("{id:016x}"), error, "cannot connect, trying on");
                    }
                    last_error = error;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(DIAL_PAUSE_MAX),
            () = arrived.notified() => pause = DIAL_PAUSE_MIN,
            changed = known.changed() => if changed.is_err() { return },
        }
    }
}

/// Takes what the other side sends in datagrams until the connection ends; returns why.
async fn hear_datagrams(connection: &Connection, line: &Line) -> ConnectionError {
    loop {
        match connection.read_datagram().await {
            Ok(bytes) => {
                if let Ok(Datagram::Heard { vote }) = decode(&bytes) {
                    line.measured(connection.rtt());
                    line.heard(vote);
                }
            }
            Err(reason) => return reason,
        }
    }
}

/// Dials until one attempt succeeds or fails, or none has for [`DIAL_TIMEOUT`]. Over a long line an attempt takes seconds; but
/// packets to a dead port are repeated ever more slowly, and a new attempt gets through at once. So another one begins beside
/// it every [`DIAL_AGAIN`], when the peer has shown that it is there, and when there is news of where it is. None is given up
/// for it: two nodes that dial each other over a long line would do so for ever.
async fn dial_again_and_again(
    dialler: &Arc<Dialler>,
    id: u64,
    known: &mut watch::Receiver<Places>,
    arrived: &Notify,
) -> io::Result<((Connection, Introduced), SocketAddr)> {
    let mut attempts = JoinSet::new();
    let many = async {
        loop {
            let candidates = known.borrow_and_update().candidates(dialler.arrivals.from(id));
            if attempts.len() < DIALS_MAX {
                let dialler = dialler.clone();
                attempts.spawn(async move {
                    let attempt = |remote| dial(dialler.clone(), id, remote);
                    dial::first(&candidates, attempt).await
                });
            }
            tokio::select! {
                Some(outcome) = attempts.join_next() => return outcome.map_err(io::Error::other)?,
                () = tokio::time::sleep(DIAL_AGAIN) => {}
                () = arrived.notified() => {}
                Ok(()) = known.changed() => {}
            }
        }
    };
    tokio::time::timeout(DIAL_TIMEOUT, many).await.unwrap_or_else(|_| Err(no_answer()))
}

async fn dial(dialler: Arc<Dialler>, id: u64, remote: SocketAddr) -> io::Result<(Connection, Introduced)> {
    let attempt = async {
        let connection = dialler.connect_peer(id, remote).await?;
        let introduced = greeted(&dialler, id, &connection).await?;
        Ok((connection, introduced))
    };
    tokio::time::timeout(DIAL_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(no_answer()))
}

/// Finds out which member answers at an address.
pub(super) async fn visit(dialler: Arc<Dialler>, remote: SocketAddr) -> io::Result<u64> {
    let attempt = async {
        let connection = dialler.connect_any(remote).await?;
        let id = dialler.member_at(&connection).ok_or_else(|| io::Error::other("its certificate names no server"))?;
        if id == dialler.node() {
            return Err(io::Error::other("this server itself answers there"));
        }
        let _introduced = greeted(&dialler, id, &connection).await?;
        Ok(id)
    };
    tokio::time::timeout(DIAL_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer (UDP)")
}

/// Introduces both sides of a fresh connection; if it ends instead, its other end may have said why.
async fn greeted(dialler: &Dialler, id: u64, connection: &Connection) -> io::Result<Introduced> {
    let greeted = greet(dialler, id, connection).await;
    if let (Err(_), Some(reason)) = (&greeted, connection.close_reason()) {
        dialler.ended(id, &reason);
        if is_starting(&reason) {
            return Err(io::Error::other(NEWCOMER));
        }
    }
    greeted
}

/// Says who we are, and checks who answers.
async fn greet(dialler: &Dialler, id: u64, connection: &Connection) -> io::Result<Introduced> {
    let (mut send, mut recv) = connection.open_bi().await?;
    write_frame(&mut send, &encode_frame(&dialler.hello(id))).await?;
    let mut buffer = Vec::new();
    let answer = read_frame(&mut recv, &mut buffer, wire::limits::JOIN_FRAME_BYTES_MAX).await?;
    let answer: Hello = decode(answer.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?;
    if answer.node != id {
        return Err(io::Error::other(format!("node {:016x} answered", answer.node)));
    }
    dialler.introduce(&answer, connection).await
}
