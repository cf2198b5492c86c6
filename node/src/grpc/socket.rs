//! Connections that were handed over: what was read from them comes first, TLS where they want it, and a place for each.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::bridge::{HandedOver, Seat, Security};
use crate::limits::{GRPC_CONNECTIONS_MAX, GRPC_CONNECTIONS_PER_ADDRESS_MAX, HANDSHAKE_TIMEOUT};
use crate::service::legacy::calls::Connection;

const TOO_MANY: &str = "too many gRPC connections are open; use one channel for many calls";

/// What is known of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) secure: Security,
    pub(super) connection: Arc<Connection>,
    /// Nothing is served on it, and why.
    pub(super) refused: Option<&'static str>,
}

/// Takes what is handed over until nothing more is.
pub(super) async fn accept(
    mut handed_over: mpsc::Receiver<HandedOver>,
    tls: Arc<rustls::ServerConfig>,
    ready: mpsc::Sender<io::Result<Socket>>,
) {
    let (acceptor, places, numbers) = (TlsAcceptor::from(tls), Places::default(), AtomicU64::new(0));
    while let Some(HandedOver { socket, peer, read, secure, refused, seat }) = handed_over.recv().await {
        let Ok(socket) = TcpStream::from_std(socket) else { continue };
        let (place, crowded) = places.take(peer.ip().to_canonical());
        if crowded && refused.is_some() {
            continue;
        }
        let refused = refused.or(crowded.then_some(TOO_MANY));
        let connection = Arc::new(Connection::new(numbers.fetch_add(1, Ordering::Relaxed)));
        let peer = Peer { address: peer, secure, connection, refused };
        let socket = Replayed { socket, read, at: 0 };
        let held = Held { _seat: seat, _place: place };
        let ready = ready.clone();
        if secure != Security::Tls {
            if ready.send(Ok(Socket { stream: Stream::Plain(socket), peer, _held: held })).await.is_err() {
                return;
            }
            continue;
        }
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket));
        tokio::spawn(async move {
            match handshake.await {
                Ok(Ok(stream)) => {
                    let socket = Socket { stream: Stream::Tls(Box::new(stream)), peer, _held: held };
                    // Nobody takes it: the server stops.
                    let _ = ready.send(Ok(socket)).await;
                }
                Ok(Err(error)) => tracing::debug!(peer = %peer.address, %error, "TLS failed"),
                Err(_) => tracing::debug!(peer = %peer.address, "no TLS handshake in time"),
            }
        });
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    peer: Peer,
    _held: Held,
}

/// What it takes up while it is open.
#[derive(Debug)]
struct Held {
    _seat: Seat,
    _place: Place,
}

#[derive(Debug)]
enum Stream {
    Plain(Replayed),
    Tls(Box<TlsStream<Replayed>>),
}

impl Connected for Socket {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A socket whose first bytes were read before.
#[derive(Debug)]
struct Replayed {
    socket: TcpStream,
    read: Vec<u8>,
    at: usize,
}

impl AsyncRead for Replayed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let rest = &this.read[this.at..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        this.at += count;
        if this.at == this.read.len() {
            this.read = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// How many connections there are, and from where.
#[derive(Debug, Clone, Default)]
struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them.
#[derive(Debug)]
struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// Takes one, and says whether it is one too many.
    fn take(&self, address: IpAddr) -> (Place, bool) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let here = taken.entry(address).or_default();
        let crowded = all >= GRPC_CONNECTIONS_MAX || *here >= GRPC_CONNECTIONS_PER_ADDRESS_MAX;
        *here += 1;
        (Place { places: self.clone(), address }, crowded)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_each_address_and_given_back() {
        let (places, here, there) = (Places::default(), [192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut held: Vec<_> = (0..GRPC_CONNECTIONS_PER_ADDRESS_MAX).map(|_| places.take(here)).collect();
        assert!(held.iter().all(|(_, crowded)| !crowded));
        assert!(places.take(here).1);
        assert!(!places.take(there).1);
        held.pop();
        assert!(!places.take(here).1);
        held.clear();
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        client.write_all(b" world").await.unwrap();
        client.shutdown().await.unwrap();
        let mut replayed = Replayed { socket, read: b"hello".to_vec(), at: 0 };
        let mut two = [0; 2];
        replayed.read_exact(&mut two).await.unwrap();
        let mut rest = String::new();
        replayed.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, rest.as_str()), (b"he", "llo world"));
    }
}
