//! One peer as this node dials it.
//!
//! Dialling happens in a task of its own, so that a cancelled call (openraft cancels an append after one heartbeat)
//! never kills a connection attempt. Streams are long-lived; a call takes one out of its lane and puts it back when
//! the answer has come. A call that is cancelled in between drops its stream, which resets it: the lane stays clean.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use wire::limits::PEER_FRAME_BYTES_MAX;
use wire::replication::decode;
use wire::replication::rpc::{Hello, PeerReply, PeerRequest};

use super::endpoint::Dialler;
use super::frame::{encode_frame, read_frame, write_frame};
use super::lives::Introduced;
use crate::limits::{DIAL_PAUSE_MAX, DIAL_PAUSE_MIN, DIAL_TIMEOUT};

/// What a stream is used for. Lanes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes: rare, urgent.
    Vote,
    /// Appends and heartbeats.
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
            Lane::Vote | Lane::Append => 2,
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
    address: watch::Sender<String>,
    connection: watch::Receiver<Option<Connection>>,
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
        let (address, addresses) = watch::channel(address);
        let (connected, connection) = watch::channel(None);
        let arrived = Arc::new(Notify::new());
        let dialling = tokio::spawn(keep_connected(dialler, id, addresses, arrived.clone(), connected)).abort_handle();
        Peer { id, address, connection, arrived, streams: Mutex::default(), dialling }
    }

    /// Its node id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a connection stands.
    pub fn is_connected(&self) -> bool {
        self.connection.borrow().is_some()
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

    /// Where it is dialled from the next attempt on.
    pub fn set_address(&self, address: &str) {
        self.address.send_if_modified(|current| {
            let changed = current != address;
            if changed {
                address.clone_into(current);
            }
            changed
        });
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
            write(&mut stream).await?;
            let frame = read_frame(&mut stream.recv, &mut stream.buffer, PEER_FRAME_BYTES_MAX).await?;
            let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let reply = decode(frame).map_err(io::Error::other)?;
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

async fn keep_connected(
    dialler: Arc<Dialler>,
    id: u64,
    mut addresses: watch::Receiver<String>,
    arrived: Arc<Notify>,
    connected: watch::Sender<Option<Connection>>,
) {
    let mut pause = DIAL_PAUSE_MIN;
    let mut last_error = String::new();
    loop {
        let address = addresses.borrow_and_update().clone();
        let dialled = tokio::select! {
            dialled = tokio::time::timeout(DIAL_TIMEOUT, dial(&dialler, id, &address)) => dialled,
            // Packets to a dead port are repeated ever more slowly: a new attempt gets through at once.
            () = arrived.notified() => continue,
        };
        match dialled {
            Ok(Ok((connection, introduced))) => {
                tracing::info!(peer = format_args!("{id:016x}"), address, "connected");
                (pause, last_error) = (DIAL_PAUSE_MIN, String::new());
                connected.send_replace(Some(connection.clone()));
                let reason = connection.closed().await;
                drop(introduced);
                dialler.ended(id, &reason);
                connected.send_replace(None);
                tracing::info!(peer = format_args!("{id:016x}"), address, %reason, "disconnected");
            }
            outcome => {
                let error = match outcome {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer".to_owned(),
                };
                if error != last_error {
                    tracing::info!(peer = format_args!("{id:016x}"), address, error, "cannot connect, trying on");
                    last_error = error;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(DIAL_PAUSE_MAX),
            () = arrived.notified() => pause = DIAL_PAUSE_MIN,
            changed = addresses.changed() => if changed.is_err() { return },
        }
    }
}

async fn dial(dialler: &Dialler, id: u64, address: &str) -> io::Result<(Connection, Introduced)> {
    let connection = dialler.connect_peer(id, address).await?;
    let greeted = greet(dialler, id, &connection).await;
    if let (Err(_), Some(reason)) = (&greeted, connection.close_reason()) {
        dialler.ended(id, &reason);
    }
    greeted.map(|introduced| (connection, introduced))
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
