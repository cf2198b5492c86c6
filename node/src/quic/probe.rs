//! The way back to a newcomer, tried before its code is used up.
//!
//! A newcomer reaches the cluster, or it could not ask. That the cluster reaches the newcomer under the address it would
//! be listed under is another matter: a firewall, a router in between or a wrong `--advertise` stand in the way. So the
//! leader dials that address and the newcomer answers there ([`Answering`]), on the very port it will serve, under a
//! certificate that it has signed itself: TLS proves that it holds the key of its certificate request. The newcomer also
//! dials the leader where the members list it, which may not be where it asked.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use quinn::{Connection, EndpointConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use wire::limits::JOIN_FRAME_BYTES_MAX;
use wire::replication::decode;
use wire::replication::join::{Probe, ProbeReply};

use super::dial;
use super::endpoint::{EndpointError, Peers, reach, transport};
use super::frame::{encode_frame, read_frame, write_frame};
use super::tls::{self, Pin};
use crate::limits::{JOIN_CONNECTIONS_MAX, PROBE_BACK_TIMEOUT, PROBE_TIMEOUT};

/// Why a newcomer cannot be let in under its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// Nobody reaches it.
    Unreached(String),
    /// It does not reach the leader.
    OneWay(String),
}

impl Peers {
    /// Tries the way to a newcomer that says it is at `address` and holds `key`, and from there to `leader`, the address
    /// of this node.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn probe(&self, address: &str, key: Pin, leader: &str) -> Result<(), ProbeError> {
        let (udp, tcp) =
            tokio::join!(self.ask_back(address, key, leader), timeout(PROBE_TIMEOUT, accepts_tcp(address)));
        let failed = udp?;
        match tcp {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(ProbeError::Unreached(format!("over TCP: {error}"))),
            Err(_) => return Err(ProbeError::Unreached("over TCP: no answer".into())),
        }
        failed.map_or(Ok(()), |error| Err(ProbeError::OneWay(error)))
    }

    async fn ask_back(&self, address: &str, key: Pin, leader: &str) -> Result<Option<String>, ProbeError> {
        let unreached = |error: &dyn std::fmt::Display| ProbeError::Unreached(format!("over UDP: {error}"));
        let config = tls::probe_client(key).map_err(|error| unreached(&error))?;
        let dialled = timeout(PROBE_TIMEOUT, self.dial_newcomer(address, config)).await;
        let connection = dialled.map_err(|_| unreached(&"no answer"))?.map_err(|error| unreached(&error))?;
        // The newcomer's own attempt takes some of it.
        let answer = timeout(PROBE_TIMEOUT, ask(&connection, leader)).await;
        connection.close(VarInt::from_u32(0), b"asked");
        answer.map_err(|_| unreached(&"no answer to a question"))?.map_err(|error| unreached(&error))
    }
}

async fn ask(connection: &Connection, leader: &str) -> io::Result<Option<String>> {
    let (mut send, mut recv) = connection.open_bi().await?;
    write_frame(&mut send, &encode_frame(&Probe { leader: leader.to_owned() })).await?;
    let mut buffer = Vec::new();
    let reply = read_frame(&mut recv, &mut buffer, JOIN_FRAME_BYTES_MAX).await?;
    let reply: ProbeReply = decode(reply.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?;
    Ok(reply.failed.map(|text| text.chars().filter(|c| !c.is_control()).take(200).collect()))
}

/// Whether somebody listens there. The newcomer is known already: it has the same port for UDP.
async fn accepts_tcp(address: &str) -> io::Result<()> {
    dial::first(&[address.to_owned()], TcpStream::connect).await.map(drop)
}

/// A newcomer that answers probes on the port that it will serve.
#[derive(Debug)]
pub struct Answering {
    endpoint: quinn::Endpoint,
    task: AbortHandle,
}

impl Answering {
    /// Answers from now on. `authority` is the cluster's, whose members alone are dialled.
    ///
    /// # Errors
    /// The socket or the key does not work.
    pub fn start(
        socket: UdpSocket,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        authority: Pin,
    ) -> Result<Self, EndpointError> {
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::probe_server(certificate, key)?));
        let mut transport = transport();
        transport.max_concurrent_bidi_streams(VarInt::from_u32(1));
        server.transport_config(Arc::new(transport)).max_incoming(JOIN_CONNECTIONS_MAX);
        socket.set_nonblocking(true)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = quinn::Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)?;
        let task = tokio::spawn(answer_all(endpoint.clone(), authority)).abort_handle();
        Ok(Answering { endpoint, task })
    }

    /// Leaves the port to whoever serves it from now on.
    pub async fn stop(self) {
        self.endpoint.close(VarInt::from_u32(0), b"joined");
        self.task.abort();
        // Connections that are still to be wound down end with the endpoint; nobody waits for them.
        let _ = timeout(PROBE_BACK_TIMEOUT, self.endpoint.wait_idle()).await;
    }
}

async fn answer_all(endpoint: quinn::Endpoint, authority: Pin) {
    // One after the other: a newcomer is asked by one leader, and a stranger who holds up the next finds no one else here.
    while let Some(incoming) = endpoint.accept().await {
        if let Err(error) = timeout(2 * PROBE_TIMEOUT, answer(incoming, authority)).await.unwrap_or(Ok(())) {
            tracing::debug!(%error, "a probe was not answered");
        }
    }
}

async fn answer(incoming: quinn::Incoming, authority: Pin) -> io::Result<()> {
    let connection = incoming.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut buffer = Vec::new();
    let probe = read_frame(&mut recv, &mut buffer, JOIN_FRAME_BYTES_MAX).await?;
    let probe: Probe = decode(probe.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?;
    let failed = match timeout(PROBE_BACK_TIMEOUT, reach(&probe.leader, authority)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer".into()),
    };
    write_frame(&mut send, &encode_frame(&ProbeReply { failed })).await?;
    send.finish().map_err(io::Error::other)?;
    connection.closed().await;
    Ok(())
}
