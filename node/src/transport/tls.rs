//! TLS of one connection: records in, plaintext out, and back. Pure: it never sees a socket.
//!
//! rustls' unbuffered interface is used because the buffered one keeps a read buffer of 4 KiB for as long as a connection
//! lives, and most connections are idle. Here records are decrypted in the poll thread's one read buffer, and what stays
//! behind is the beginning of the next record, if there is one.
//!
//! Invariants: `pending` is what rustls has not told to discard, in place and in order, since rustls remembers offsets
//! into it; between two calls it holds less than one whole record; an idle connection holds none.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Acceptor, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};

use crate::limits::TLS_RECORD_BYTES_MAX;

/// Bytes that a record adds to what is in it: header, content type, tag.
const RECORD_OVERHEAD: usize = 5 + 1 + 16;

/// What HTTP/2 is called in a TLS handshake.
const ALPN_HTTP2: &[u8] = b"h2";

/// Bytes of content in one record.
const RECORD_CONTENT_MAX: usize = 16 << 10;

/// A connection's TLS, boxed by its owner: connections without it pay for a pointer.
pub(super) struct Tls {
    connection: UnbufferedServerConnection,
    /// The beginning of a record. Empty means unallocated.
    pending: Vec<u8>,
    /// Nothing goes out any more: an alert or our close_notify was the last.
    over: bool,
}

/// What some bytes of the client came to.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// What the client said.
    pub(super) plain: Vec<u8>,
    /// Records that go out as they are: the handshake's, or an alert.
    pub(super) answer: Vec<u8>,
    /// The client has said that nothing more will come.
    pub(super) closed: bool,
    /// This is no TLS that we speak. The alert, if there is one for it, is in `answer`.
    pub(super) failed: Option<rustls::Error>,
}

/// Whether the client wants to speak HTTP/2 and none of `ours`, by the beginning of its handshake; `None` while that
/// cannot be told. Bytes that are no handshake want nothing.
pub(super) fn wants_http2(bytes: &[u8], ours: &[Vec<u8>]) -> Option<bool> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() && acceptor.read_tls(&mut rest).is_ok_and(|count| count > 0) {}
    match acceptor.accept() {
        Ok(Some(accepted)) => {
            let hello = accepted.client_hello();
            let offers = |wanted: &[u8]| hello.alpn().is_some_and(|mut all| all.any(|protocol| protocol == wanted));
            Some(offers(ALPN_HTTP2) && !ours.iter().any(|ours| offers(ours)))
        }
        Ok(None) => None,
        Err(_) => Some(false),
    }
}

impl Tls {
    /// For a connection whose first byte announces TLS.
    ///
    /// # Errors
    /// When the configuration does not work; no client can cause that.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Box<Self>, rustls::Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Box::new(Self { connection, pending: Vec::new(), over: false }))
    }

    /// Bytes of a record that is not whole yet: the room to leave in front of what is read next.
    pub(super) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes held on the heap for what the client has sent.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Whether the handshake is behind us.
    pub(super) fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Whether an application protocol was agreed on; there is only one that we agree to.
    pub(super) fn has_alpn(&self) -> bool {
        self.connection.alpn_protocol().is_some()
    }

    /// Takes in what was read, decrypting it in place. The first [`Tls::pending_len`] bytes of `bytes` are room for what is
    /// pending.
    pub(super) fn receive(&mut self, bytes: &mut [u8]) -> Received {
        let mut received = Received::default();
        bytes[..self.pending.len()].copy_from_slice(&self.pending);
        self.pending = Vec::new();
        let mut used = 0;
        while received.failed.is_none() {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut bytes[used..]);
            let mut more = true;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                received.plain.extend_from_slice(record.payload);
                            }
                            Err(error) => received.failed = Some(error),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut received.answer),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => received.closed = true,
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) | ConnectionState::Closed) => {
                    more = false;
                }
                // The configuration allows no data before the handshake's end, and the type may grow.
                Ok(_) => received.failed = Some(rustls::Error::General("unexpected state".into())),
                Err(error) => received.failed = Some(error),
            }
            used += discard;
            if !more {
                break;
            }
        }
        let rest = &mut bytes[used..];
        if received.failed.is_some() {
            self.over = true;
            // Asked only while it says that it has something: it would look at the same bad bytes again.
            while self.connection.wants_write()
                && let Ok(ConnectionState::EncodeTlsData(mut data)) = self.connection.process_tls_records(rest).state
            {
                encode(&mut data, &mut received.answer);
            }
        } else if rest.len() > TLS_RECORD_BYTES_MAX {
            // A handshake message in several records stays as a whole; none that we take is larger than one of them.
            self.over = true;
            received.failed = Some(rustls::Error::General("a handshake message is too large".into()));
        } else if !received.closed {
            self.pending = rest.to_vec();
        }
        received
    }

    /// `plain` as records; nothing if nothing may go out (yet, or any more).
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
        let records = plain.len().div_ceil(RECORD_CONTENT_MAX);
        self.send(plain.len() + records * RECORD_OVERHEAD, |traffic, out| traffic.encrypt(plain, out))
    }

    /// The goodbye, once; nothing before the handshake's end.
    pub(super) fn close(&mut self) -> Vec<u8> {
        let notify = self.send(2 + RECORD_OVERHEAD, |traffic, out| traffic.queue_close_notify(out));
        self.over = true;
        notify
    }

    fn send(
        &mut self,
        expected: usize,
        write: impl Fn(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let mut used = 0;
        while !self.over {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.pending[used..]);
            used += discard;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = out.len();
                    out.resize(start + expected, 0);
                    let mut written = write(&mut traffic, &mut out[start..]);
                    // Room for a change of keys that goes in front is not foreseen.
                    if let Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) = written {
                        out.resize(start + required_size, 0);
                        written = write(&mut traffic, &mut out[start..]);
                    }
                    out.truncate(start + written.unwrap_or(0));
                    break;
                }
                Ok(_) | Err(_) => break,
            }
        }
        if used > 0 {
            self.pending.drain(..used);
            self.pending.shrink_to_fit();
        }
        out
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("established", &self.is_established()).finish_non_exhaustive()
    }
}

fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let start = out.len();
    let size = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        // An empty record does not exist, and this one is encoded once only.
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return,
    };
    out.resize(start + size, 0);
    data.encode(&mut out[start..]).expect("it fits the size it asked for");
}
