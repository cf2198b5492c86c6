//! One TCP connection, with TLS around it or not: bytes in, bytes out, never waiting.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConnection;

use super::tls::{self, Seen};
use crate::limits::READ_BYTES;

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// The other side has ended it.
    #[error("the connection was closed by the other side")]
    Closed,
    /// The network says no.
    #[error("{}", explain(.0).map_or_else(|| .0.to_string(), str::to_owned))]
    Io(#[from] io::Error),
    /// The certificate, or something else of TLS, is not right.
    #[error("{}", tls::explain(.0).map_or_else(|| format!("TLS does not work with it ({})", .0), str::to_owned))]
    Tls(#[from] rustls::Error),
}

/// What happens every day, without the number that the system has for it.
fn explain(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("no server runs there (connection refused)"),
        io::ErrorKind::HostUnreachable => Some("the machine cannot be reached"),
        io::ErrorKind::NetworkUnreachable => Some("there is no network to that machine"),
        io::ErrorKind::TimedOut => Some("no answer"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Some("the connection was cut"),
        _ => None,
    }
}

/// One connection, possibly not standing yet.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<(ClientConnection, Seen)>>,
    connected: bool,
    /// The kernel may have more to read.
    readable: bool,
    /// Bytes to be sent, of which `sent` are already gone.
    out: Vec<u8>,
    sent: usize,
}

impl Socket {
    /// Begins to connect.
    pub(super) fn dial(to: SocketAddr, tls: Option<(ClientConnection, Seen)>) -> Result<Self, SocketError> {
        let stream = TcpStream::connect(to)?;
        // A message is small and somebody waits for it. Not being able to say so costs time, not the connection.
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, tls: tls.map(Box::new), connected: false, readable: false, out: Vec::new(), sent: 0 })
    }

    /// Whether everything stands, TLS included; looks and pumps.
    pub(super) fn is_standing(&mut self) -> Result<bool, SocketError> {
        if !self.connected {
            if let Some(error) = self.stream.take_error()? {
                return Err(error.into());
            }
            match self.stream.peer_addr() {
                Ok(_) => self.connected = true,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.flush()?;
        Ok(match &mut self.tls {
            None => true,
            Some(tls) => {
                if tls.0.is_handshaking() {
                    read_tls(&mut self.stream, &mut tls.0, &mut self.readable)?;
                    write_tls(&mut self.stream, &mut tls.0)?;
                }
                // What came with the last of the handshake is looked for at once.
                self.readable |= !tls.0.is_handshaking();
                !tls.0.is_handshaking()
            }
        })
    }

    /// The cluster that the certificate names; `None` without TLS.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.tls.as_ref().and_then(|tls| tls.1.get()).map(String::as_str)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The poller says that something has happened.
    pub(super) fn set_ready(&mut self, readable: bool) {
        self.readable |= readable;
    }

    /// Whether there may be more to read although the poller stays silent.
    pub(super) fn may_have_more(&self) -> bool {
        self.connected && self.readable
    }

    /// Bytes that were handed over and not taken by the kernel yet.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Appends what has arrived to `into`, up to about [`READ_BYTES`], and returns how many bytes that were.
    pub(super) fn read(&mut self, into: &mut Vec<u8>) -> Result<usize, SocketError> {
        if !self.may_have_more() {
            return Ok(0);
        }
        let before = into.len();
        match &mut self.tls {
            None => {
                into.resize(before + READ_BYTES, 0);
                let got = read_some(&mut self.stream, &mut into[before..], &mut self.readable);
                into.truncate(before + *got.as_ref().unwrap_or(&0));
                got?;
            }
            Some(tls) => {
                let outcome = read_tls(&mut self.stream, &mut tls.0, &mut self.readable);
                // What came before the end counts.
                let mut reader = tls.0.reader();
                let mut chunk = [0; 4096];
                loop {
                    match reader.read(&mut chunk) {
                        Ok(0) if into.len() == before => return Err(outcome.err().unwrap_or(SocketError::Closed)),
                        Ok(0) => break,
                        Ok(got) => into.extend_from_slice(&chunk[..got]),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(_) if into.len() == before => return Err(outcome.err().unwrap_or(SocketError::Closed)),
                        Err(_) => break,
                    }
                }
                if into.len() == before {
                    outcome?;
                }
                write_tls(&mut self.stream, &mut tls.0)?;
            }
        }
        Ok(into.len() - before)
    }

    /// Hands bytes over, to be sent as the network takes them.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends what the network takes now.
    pub(super) fn flush(&mut self) -> Result<(), SocketError> {
        if !self.connected {
            return Ok(());
        }
        loop {
            if let Some(tls) = &mut self.tls
                && !write_tls(&mut self.stream, &mut tls.0)?
            {
                return Ok(());
            }
            let rest = &self.out[self.sent..];
            if rest.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.0.is_handshaking()) {
                break;
            }
            let taken = match &mut self.tls {
                // rustls takes as much as its own buffer holds.
                Some(tls) => tls.0.writer().write(rest)?,
                None => match self.stream.write(rest) {
                    Ok(taken) => taken,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            self.sent += taken;
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            // A long message must not keep its memory for ever.
            self.out.shrink_to(READ_BYTES);
        }
        Ok(())
    }

    /// Says in TLS that nothing more will come, so that the other side need not guess.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.0.send_close_notify();
        }
        // It ends anyway.
        let _ = self.flush();
    }
}

/// False: the kernel takes no more for now.
fn write_tls(stream: &mut TcpStream, tls: &mut ClientConnection) -> Result<bool, SocketError> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Reads until there is nothing more or enough plain text waits.
fn read_tls(stream: &mut TcpStream, tls: &mut ClientConnection, readable: &mut bool) -> Result<(), SocketError> {
    let mut plain = 0;
    while *readable && plain < READ_BYTES {
        match tls.read_tls(stream) {
            // It stays readable, so that the end is found again once what came before it was taken.
            Ok(0) => return Err(SocketError::Closed),
            Ok(_) => match tls.process_new_packets() {
                Ok(state) => plain = state.plaintext_bytes_to_read(),
                Err(error) => {
                    // The alert tells the other side why.
                    let _ = write_tls(stream, tls);
                    return Err(error.into());
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // rustls holds as much as it may until some is taken.
            Err(error) if error.kind() == io::ErrorKind::Other => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read_some(stream: &mut TcpStream, into: &mut [u8], readable: &mut bool) -> Result<usize, SocketError> {
    loop {
        match stream.read(into) {
            Ok(0) => return Err(SocketError::Closed),
            Ok(got) => return Ok(got),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *readable = false;
                return Ok(0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream.deregister(registry)
    }
}
