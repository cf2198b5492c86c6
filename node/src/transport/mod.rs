//! The client side of the server: one thread, one poller, every client socket.
//!
//! In reading order: [`poll_loop`](self) waits and gives turns; `connection` moves the bytes of one socket, `tls` through
//! records where the client wants that; `sniff` says what the first bytes mean; `listener` decides who may come in;
//! `refusal` is what the others are told; `outbox` is the bounded send queue; `deadlines` are a connection's;
//! `table` finds a connection by slot and generation.
//!
//! What comes in leaves as [`bridge::Turn`]s, one per pass of the loop; replies come back through [`bridge::Replies`].
//! The transport knows frames, not messages: it never looks inside one.
//!
//! Every bound is in [`crate::limits`].

mod connection;
mod deadlines;
mod listener;
mod outbox;
mod poll_loop;
mod refusal;
mod sniff;
mod table;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::bridge::{self, Handover, Replies};
use crate::config::args::Plaintext;
use crate::env::Clock;
use crate::limits::{HANDSHAKE_TIMEOUT, MAX_CLIENTS_DEFAULT, STALL_TIMEOUT};

/// What the transport has to be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Client connections served at once; further ones are refused.
    pub max_clients: usize,
    /// Which unencrypted connections are served.
    pub plaintext: Plaintext,
    /// Time for the first whole frame of a connection, the TLS handshake before it included.
    pub handshake_timeout: Duration,
    /// Time a client may leave its replies lying.
    pub stall_timeout: Duration,
    /// What the deadlines are measured on.
    pub clock: Clock,
    /// Certificate, key and protocols for clients that begin with TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// Where connections go that speak HTTP/2; without it they are refused.
    pub http2: Option<Handover>,
}

impl Config {
    /// With what an operator gets who says nothing.
    pub fn new(tls: Arc<rustls::ServerConfig>) -> Self {
        Self {
            max_clients: MAX_CLIENTS_DEFAULT,
            plaintext: Plaintext::Loopback,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
            clock: Clock,
            tls,
            http2: None,
        }
    }
}

/// Why the transport did not start.
#[derive(Debug, thiserror::Error)]
#[error("client transport: {step}")]
pub struct StartError {
    step: &'static str,
    source: io::Error,
}

/// What the poll thread shows to others.
#[derive(Debug, Default)]
struct Shared {
    clients: AtomicUsize,
    /// Clients that others serve.
    seats: Arc<AtomicUsize>,
    buffered_bytes: AtomicUsize,
    turns: AtomicUsize,
    /// Set once: stop, and how long that may take.
    stop: OnceLock<Duration>,
}

/// Figures of a running transport, cheap to read from anywhere.
#[derive(Debug, Clone)]
pub struct Stats {
    shared: Arc<Shared>,
}

impl Stats {
    /// Client connections open now.
    pub fn clients(&self) -> usize {
        self.shared.clients.load(Relaxed) + self.shared.seats.load(Relaxed)
    }

    /// Heap bytes held for incomplete requests and waiting replies. Zero when every client is idle.
    pub fn buffered_bytes(&self) -> usize {
        self.shared.buffered_bytes.load(Relaxed)
    }

    /// Passes of the poll loop since the start. Stands still when every client is idle.
    pub fn turns(&self) -> usize {
        self.shared.turns.load(Relaxed)
    }
}

/// The running poll thread. Dropped without [`TransportHandle::shutdown`], it serves on until the process ends.
#[derive(Debug)]
pub struct TransportHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    replies: Replies,
    thread: JoinHandle<()>,
}

/// Starts the poll thread on a listening socket.
///
/// Turns go to `to_service`; when it is full the thread waits, and with it all clients. When its receiver is gone the thread
/// ends.
///
/// # Errors
/// When the system refuses a poller, a waker or a thread, or the socket cannot be used.
pub fn start(
    config: Config,
    listener: std::net::TcpListener,
    to_service: mpsc::Sender<bridge::Turn>,
) -> Result<(TransportHandle, Replies), StartError> {
    fn at(step: &'static str) -> impl FnOnce(io::Error) -> StartError {
        move |source| StartError { step, source }
    }
    let max_clients = listener::clients_within(listener::raise_file_limit(), config.max_clients);
    if max_clients < config.max_clients {
        tracing::warn!(
            max_clients,
            configured = config.max_clients,
            "the limit of open files (ulimit -n) allows fewer clients than configured"
        );
    }
    let config = Config { max_clients, ..config };
    if let Err(error) = listener::lengthen_backlog(&listener) {
        tracing::warn!(%error, "the accept queue stays short");
    }
    let address = listener.local_addr().map_err(at("local address"))?;
    listener.set_nonblocking(true).map_err(at("non-blocking mode"))?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = mio::Poll::new().map_err(at("poller"))?;
    poll.registry()
        .register(&mut listener, poll_loop::LISTENER, mio::Interest::READABLE)
        .map_err(at("registering the listening socket"))?;
    let waker = mio::Waker::new(poll.registry(), poll_loop::WAKER).map_err(at("waker"))?;
    let replies = Replies::new(waker);
    let shared = Arc::new(Shared::default());
    let poll_loop = poll_loop::PollLoop::new(config, shared.clone(), poll, listener, to_service, replies.clone());
    let thread = thread::Builder::new()
        .name("transport".into())
        .spawn(move || {
            if let Err(error) = poll_loop.run() {
                tracing::error!(%error, "the poll thread ends");
            }
        })
        .map_err(at("thread"))?;
    Ok((TransportHandle { address, shared, replies: replies.clone(), thread }, replies))
}

impl TransportHandle {
    /// The address clients connect to, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Figures for status output.
    pub fn stats(&self) -> Stats {
        Stats { shared: self.shared.clone() }
    }

    /// Stops: accepts and reads nothing more, lets the service answer what was read, writes what waits, closes.
    ///
    /// Returns when all connections are closed, after `patience` at the latest. The service has to keep running meanwhile.
    pub fn shutdown(self, patience: Duration) {
        // Only this call sets it, and it consumes the handle.
        let _ = self.shared.stop.set(patience);
        self.replies.wake();
        if self.thread.join().is_err() {
            tracing::error!("the poll thread had panicked");
        }
    }
}
