//! The UDP socket: what comes in, and where dialling starts.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use quinn::{ConnectError, Connection, ConnectionError, EndpointConfig, Incoming, RecvStream, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use wire::limits::{JOIN_FRAME_BYTES_MAX, PEER_FRAME_BYTES_MAX};
use wire::replication::join::{JoinReply, JoinRequest};
use wire::replication::rpc::{Datagram, Hello, KnownAddress, PeerReply};
use wire::replication::{decode, encode};

use super::congestion::Bounded;
use super::dial;
use super::frame::{encode_frame, read_frame, write_frame};
use super::lives::{Acquaintance, Introduced, Lives, Unwelcome};
use super::peer::{self, Peer};
use super::places::Arrivals;
use super::tls::{self, ALPN_JOIN, ALPN_PEER, Credentials, Pin, TlsError};
use crate::cluster::valid_name;
use crate::limits::{
    DATAGRAMS_BYTES_MAX, DIAL_TIMEOUT, FAREWELL, HANDSHAKES_MAX, JOIN_CONNECTIONS_MAX, JOIN_TIMEOUT, LINK_IDLE_TIMEOUT,
    LINK_KEEP_ALIVE, PEER_STREAMS_MAX, STRANGER_WINDOW_BYTES,
};
use crate::listen::unmapped;

/// Close codes seen by the other side, with a reason beside them.
mod close {
    pub(super) const STOPPING: u32 = 0;
    pub(super) const REFUSED: u32 = 1;
    /// The other node was removed from the cluster; the reason is the name of the server where that was asked for.
    pub(super) const REMOVED: u32 = 2;
    /// Another process of the other node answers; the reason is its address.
    pub(super) const CLONE: u32 = 3;
    /// One side has less than it promised.
    pub(super) const FALLEN: u32 = 4;
}

/// What a node with a valid certificate is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is listened to.
    Admitted,
    /// We are not ready yet.
    NotYet,
    /// It was removed from the cluster, on the server of that name.
    Removed(String),
}

/// What incoming requests are handed to.
pub trait Handler: Send + Sync + 'static {
    /// Whether this node may talk to us at all.
    fn admits(&self, node: u64) -> Admission;

    /// Returns once this node is removed from the cluster, with the name of the server where that was asked for.
    fn removed(&self, node: u64) -> impl Future<Output = String> + Send;

    /// An admitted node has connected.
    fn arrived(&self, node: u64);

    /// Answers one request of an admitted node; `None` ends the stream.
    fn handle(&self, from: u64, request: &[u8], content: Content<'_>)
    -> impl Future<Output = Option<PeerReply>> + Send;

    /// Answers a datagram of an admitted node, if it is one that has an answer.
    fn datagram(&self, from: u64, datagram: Datagram) -> impl Future<Output = Option<Datagram>> + Send;

    /// Answers a newcomer.
    fn join(&self, from: SocketAddr, request: JoinRequest) -> impl Future<Output = JoinReply> + Send;
}

/// What follows a request on its stream.
#[derive(Debug)]
pub struct Content<'a> {
    stream: &'a mut RecvStream,
    abandoned: &'a mut bool,
}

impl Content<'_> {
    /// Reads exactly `buffer.len()` bytes.
    ///
    /// # Errors
    /// The stream or its connection is gone.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(buffer).await.map_err(io::Error::other)
    }

    /// Leaves the rest unread: the stream ends behind the answer, which says why.
    pub fn abandon(&mut self) {
        *self.abandoned = true;
    }
}

/// Why the endpoint could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket.
    #[error("cannot use the UDP socket: {0}")]
    Socket(#[from] io::Error),
}

/// Dials; shared by all peers.
#[derive(Debug)]
pub struct Dialler {
    endpoint: quinn::Endpoint,
    client: quinn::ClientConfig,
    node: u64,
    cluster_id: String,
    removed: watch::Sender<Option<String>>,
    acquaintance: Arc<dyn Acquaintance>,
    lives: Arc<Lives>,
    pub(super) arrivals: Arc<Arrivals>,
    /// Told whenever a link begins or ends, in either direction.
    pub(super) changed: Arc<watch::Sender<()>>,
}

impl Dialler {
    /// This node's id.
    pub fn node(&self) -> u64 {
        self.node
    }

    async fn connect_newcomer(&self, address: &str, config: QuicClientConfig) -> io::Result<Connection> {
        let mut client = quinn::ClientConfig::new(Arc::new(config));
        client.transport_config(Arc::new(transport()));
        let endpoint = self.endpoint.clone();
        let attempt = move |remote| {
            let connecting = endpoint.connect_with(client.clone(), remote, "newcomer.samira");
            async move {
                connecting.map_err(undialled)?.await.map_err(|error| {
                    // A member takes no probes, and another newcomer has another key.
                    let another = speaks_otherwise(&error)
                        || matches!(&error, ConnectionError::TransportError(error) if error.reason.contains(tls::ANOTHER));
                    if another { io::Error::other(tls::ANOTHER) } else { io::Error::other(error) }
                })
            }
        };
        let (connection, _) = dial::first(&[address.to_owned()], attempt).await?;
        Ok(connection)
    }

    /// Connects to this member, which has to prove that it is the one.
    pub(super) async fn connect_peer(&self, id: u64, remote: SocketAddr) -> io::Result<Connection> {
        self.connect(&tls::node_name(id, &self.cluster_id), remote).await
    }

    /// Connects to any member; [`Dialler::member_at`] tells which one it is.
    pub(super) async fn connect_any(&self, remote: SocketAddr) -> io::Result<Connection> {
        self.connect(&tls::cluster_name(&self.cluster_id), remote).await
    }

    async fn connect(&self, name: &str, remote: SocketAddr) -> io::Result<Connection> {
        let connecting = self.endpoint.connect_with(self.client.clone(), remote, name).map_err(undialled)?;
        connecting.await.map_err(|error| match speaks_otherwise(&error) {
            true => io::Error::other(NEWCOMER),
            false => io::Error::other(error),
        })
    }

    /// Which member the other end of a connection has proven to be.
    pub(super) fn member_at(&self, connection: &Connection) -> Option<u64> {
        tls::node_in(&certificate_of(connection)?, &self.cluster_id)
    }

    /// What to say first to a member.
    pub(super) fn hello(&self, to: u64) -> Hello {
        self.acquaintance.hello(to)
    }

    /// Holds what the other side of a dialled connection says of itself against what is remembered.
    pub(super) async fn introduce(&self, hello: &Hello, connection: &Connection) -> io::Result<Introduced> {
        let introduced = self.lives.introduce(&*self.acquaintance, hello, connection).await;
        introduced.map_err(|unwelcome| {
            unwelcome.close(connection);
            io::Error::other("it is not what it was")
        })
    }

    /// Looks at why a dialled connection to `id` has ended: the other side, a proven member, may have told us that we are
    /// none any more, or that another process of this node answers it.
    pub(super) fn ended(&self, id: u64, reason: &ConnectionError) {
        let ConnectionError::ApplicationClosed(closed) = reason else { return };
        if closed.error_code == VarInt::from_u32(close::CLONE) {
            let first = std::str::from_utf8(&closed.reason).ok().and_then(|address| address.parse().ok());
            if let Some(first) = first {
                self.acquaintance.is_clone(id, first);
            }
        } else if closed.error_code == VarInt::from_u32(close::REMOVED) {
            let by = std::str::from_utf8(&closed.reason).ok().filter(|by| valid_name(by)).unwrap_or("another server");
            self.removed.send_replace(Some(by.to_owned()));
        }
    }
}

impl Unwelcome {
    /// Tells the other side.
    fn close(self, connection: &Connection) {
        match self {
            Unwelcome::Fallen => {
                connection.close(VarInt::from_u32(close::FALLEN), b"one of us has less than it promised");
            }
            Unwelcome::Clone(first) => {
                connection.close(VarInt::from_u32(close::CLONE), first.to_string().as_bytes());
            }
        }
    }
}

/// This node's end of all links, and the peers it dials.
#[derive(Debug)]
pub struct Peers {
    dialler: Arc<Dialler>,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
}

impl Peers {
    /// The peer with this id, dialled from now on if it was not.
    pub fn get(&self, id: u64, address: &str) -> Arc<Peer> {
        let mut peers = self.lock();
        let peer = peers.entry(id).or_insert_with(|| Arc::new(Peer::new(self.dialler.clone(), id, address.to_owned())));
        peer.set_address(address);
        peer.clone()
    }

    /// The peer with this id, if it is dialled.
    pub fn find(&self, id: u64) -> Option<Arc<Peer>> {
        self.lock().get(&id).cloned()
    }

    /// Those that are linked with this node now.
    pub fn linked(&self) -> Vec<Linked> {
        let peers: Vec<Arc<Peer>> = self.lock().values().cloned().collect();
        peers.into_iter().filter_map(|peer| peer.link().map(|(at, link)| Linked { peer, at, link })).collect()
    }

    /// Changes whenever a link begins or ends, in either direction.
    pub fn links(&self) -> watch::Receiver<()> {
        self.dialler.changed.subscribe()
    }

    /// Whether this member has a link to us, whatever ours to it does.
    pub fn is_here(&self, id: u64) -> bool {
        self.dialler.arrivals.is_here(id)
    }

    /// A member says where it reaches others now; what it said before is forgotten.
    pub fn told(&self, teller: u64, known: &[KnownAddress]) {
        let peers: Vec<Arc<Peer>> = self.lock().values().cloned().collect();
        for peer in peers {
            let says = known.iter().find(|known| known.node == peer.id()).map(|known| known.address.as_str());
            peer.told(teller, says);
        }
    }

    /// Dials an address at which any member may answer, and returns which one does, unless that is linked there already.
    /// Both then know where the other is.
    ///
    /// # Errors
    /// No member answers there.
    pub async fn visit(&self, address: &str) -> io::Result<Option<u64>> {
        let linked: Vec<SocketAddr> = self.linked().into_iter().map(|link| link.at).collect();
        if dial::resolve(address).await?.iter().any(|at| linked.contains(at)) {
            return Ok(None);
        }
        let dialler = self.dialler.clone();
        let (id, at) = dial::first(&[address.to_owned()], move |remote| peer::visit(dialler.clone(), remote)).await?;
        if let Some(peer) = self.find(id) {
            peer.told(self.dialler.node, Some(&at.to_string()));
        }
        Ok(Some(id))
    }

    /// Returns once another member says that this node was removed, with the name of the server where that was asked
    /// for.
    pub async fn removed(&self) -> String {
        let mut removed = self.dialler.removed.subscribe();
        match removed.wait_for(Option::is_some).await.map(|by| by.clone()) {
            Ok(Some(by)) => by,
            _ => std::future::pending().await,
        }
    }

    /// Dials somebody who is no member yet.
    pub(super) async fn dial_newcomer(&self, address: &str, config: QuicClientConfig) -> io::Result<Connection> {
        self.dialler.connect_newcomer(address, config).await
    }

    /// Stops dialling everybody else.
    pub fn retain(&self, keep: impl Fn(u64) -> bool) {
        self.lock().retain(|&id, _| keep(id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.peers.lock().expect("nobody panics while holding this lock")
    }

    /// Closes every link and says so to the other sides.
    pub async fn close(&self) {
        self.retain(|_| false);
        self.dialler.endpoint.close(VarInt::from_u32(close::STOPPING), b"stopping");
        self.dialler.endpoint.wait_idle().await;
    }
}

/// A peer whose link stands.
#[derive(Debug)]
pub struct Linked {
    /// Which.
    pub peer: Arc<Peer>,
    /// Where it is reached.
    pub at: SocketAddr,
    /// Tells this link from later ones.
    pub link: usize,
}

fn certificate_of(connection: &Connection) -> Option<CertificateDer<'static>> {
    let identity = connection.peer_identity()?;
    identity.downcast::<Vec<CertificateDer<'static>>>().ok()?.into_iter().next()
}

pub(super) fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(LINK_IDLE_TIMEOUT.try_into().expect("a few seconds fit QUIC's varint")))
        .keep_alive_interval(Some(LINK_KEEP_ALIVE))
        // Nodes share a LAN: assume its round trip until one is measured, or a lost first packet costs a second.
        .initial_rtt(std::time::Duration::from_millis(20))
        .congestion_controller_factory(Arc::new(Bounded))
        .datagram_receive_buffer_size(Some(DATAGRAMS_BYTES_MAX))
        .datagram_send_buffer_size(DATAGRAMS_BYTES_MAX)
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_STREAMS_MAX));
    transport
}

fn endpoint(socket: UdpSocket, secret: &[u8], server: Option<quinn::ServerConfig>) -> io::Result<quinn::Endpoint> {
    // Both derived from a secret that survives restarts: a peer that still holds a connection to our previous life
    // then learns at its first packet that it is gone, instead of waiting for its idle timeout.
    let key = |purpose: &[u8]| Sha256::new().chain_update(purpose).chain_update(secret).finalize();
    let reset = ring_hmac(&key(b"stateless reset"));
    let ids = u64::from_be_bytes(key(b"connection ids")[..8].try_into().expect("eight bytes"));
    let mut config = EndpointConfig::new(reset);
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))
}

fn ring_hmac(key: &[u8]) -> Arc<dyn quinn::crypto::HmacKey> {
    Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key))
}

/// Starts serving and dialling for an admitted node.
///
/// # Errors
/// The socket or the credentials do not work.
pub fn start<H: Handler>(
    socket: UdpSocket,
    credentials: &Credentials,
    node: u64,
    handler: Arc<H>,
    acquaintance: Arc<dyn Acquaintance>,
) -> Result<Arc<Peers>, EndpointError> {
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server(credentials)?));
    let mut strangers = transport();
    // Until it is known who speaks: one stream, and no more bytes under way than what may be said there.
    strangers.max_concurrent_bidi_streams(VarInt::from_u32(1)).receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES));
    server.transport_config(Arc::new(strangers)).max_incoming(HANDSHAKES_MAX);
    let mut client = quinn::ClientConfig::new(Arc::new(tls::peer_client(credentials)?));
    client.transport_config(Arc::new(transport()));
    socket.set_nonblocking(true)?;
    let endpoint = endpoint(socket, credentials.key.secret_der(), Some(server))?;
    let cluster_id = credentials.cluster_id.clone();
    let lives = Arc::new(Lives::default());
    let changed = Arc::new(watch::Sender::new(()));
    let arrivals = Arc::new(Arrivals::new(changed.clone()));
    let us = Arc::new(Us {
        node,
        cluster_id: cluster_id.clone(),
        acquaintance: acquaintance.clone(),
        lives: lives.clone(),
        arrivals: arrivals.clone(),
    });
    tokio::spawn(accept(endpoint.clone(), us, handler));
    let removed = watch::Sender::new(None);
    let dialler = Dialler { endpoint, client, node, cluster_id, removed, acquaintance, lives, arrivals, changed };
    Ok(Arc::new(Peers { dialler: Arc::new(dialler), peers: Mutex::default() }))
}

/// This node, as it answers.
struct Us {
    node: u64,
    cluster_id: String,
    acquaintance: Arc<dyn Acquaintance>,
    lives: Arc<Lives>,
    arrivals: Arc<Arrivals>,
}

async fn accept<H: Handler>(endpoint: quinn::Endpoint, us: Arc<Us>, handler: Arc<H>) {
    let newcomers = Arc::new(Semaphore::new(JOIN_CONNECTIONS_MAX));
    let strangers = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        if strangers.available_permits() < HANDSHAKES_MAX / 2 && incoming.may_retry() {
            // From now on an address has to be proven before it costs a handshake. Fails only where that was done.
            let _ = incoming.retry();
            continue;
        }
        let Ok(seat) = strangers.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (handler, us, newcomers) = (handler.clone(), us.clone(), newcomers.clone());
        tokio::spawn(async move {
            let remote = unmapped(incoming.remote_address());
            if let Err(reason) = serve(incoming, seat, &us, handler, &newcomers).await {
                tracing::debug!(%remote, %reason, "link ended");
            }
        });
    }
}

/// `seat` is held until it is known who speaks.
async fn serve<H: Handler>(
    incoming: Incoming,
    seat: OwnedSemaphorePermit,
    us: &Us,
    handler: Arc<H>,
    newcomers: &Semaphore,
) -> io::Result<()> {
    let connection = tokio::time::timeout(DIAL_TIMEOUT, incoming).await??;
    let protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .unwrap_or_default();
    if protocol == ALPN_JOIN {
        let Ok(_seat) = newcomers.try_acquire() else {
            connection.close(VarInt::from_u32(close::REFUSED), b"too many nodes are joining, try again in a moment");
            return Ok(());
        };
        drop(seat);
        return tokio::time::timeout(JOIN_TIMEOUT, serve_newcomer(&connection, &*handler)).await?;
    }
    debug_assert_eq!(protocol, ALPN_PEER, "TLS lets no other protocol through");
    let certificate = certificate_of(&connection);
    let refuse = || connection.close(VarInt::from_u32(close::REFUSED), b"not a member of this cluster");
    let Some(certificate) = certificate else {
        refuse();
        return Ok(());
    };
    let (mut send, hello) = tokio::time::timeout(DIAL_TIMEOUT, greeted(&connection)).await??;
    if !tls::is_node(&certificate, hello.node, &us.cluster_id) || hello.node == us.node {
        refuse();
        return Ok(());
    }
    let expel = |by: &str| connection.close(VarInt::from_u32(close::REMOVED), by.as_bytes());
    match handler.admits(hello.node) {
        Admission::Admitted => {}
        Admission::NotYet => {
            connection.close(VarInt::from_u32(close::REFUSED), STARTING);
            return Ok(());
        }
        Admission::Removed(by) => {
            expel(&by);
            return Ok(());
        }
    }
    drop(seat);
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(PEER_STREAMS_MAX));
    connection.set_receive_window(VarInt::MAX);
    // As it stands before this process of the other is noted.
    let answer = encode_frame(&us.acquaintance.hello(hello.node));
    let _introduced = match us.lives.introduce(&*us.acquaintance, &hello, &connection).await {
        Ok(introduced) => introduced,
        Err(unwelcome) => {
            if unwelcome == Unwelcome::Fallen {
                // The other may be the one to stop, and learns it from this.
                write_frame(&mut send, &answer).await?;
                let _ = tokio::time::timeout(FAREWELL, connection.closed()).await;
            }
            unwelcome.close(&connection);
            return Ok(());
        }
    };
    write_frame(&mut send, &answer).await?;
    let _arrived = us.arrivals.arrive(hello.node, &connection);
    handler.arrived(hello.node);
    tokio::spawn(answer_datagrams(handler.clone(), connection.clone(), hello.node));
    let mut removed = std::pin::pin!(handler.removed(hello.node));
    loop {
        let (send, recv) = tokio::select! {
            stream = connection.accept_bi() => stream?,
            by = &mut removed => {
                // Ends its streams too: from here on nothing it says is heard.
                expel(&by);
                return Ok(());
            }
        };
        let handler = handler.clone();
        tokio::spawn(async move {
            // An error here is the other side's cancelled call or lost connection; it knows.
            let _ = serve_stream(send, recv, hello.node, &*handler).await;
        });
    }
}

/// Answers datagrams one after the other until the connection ends; those that come too fast push out the oldest.
async fn answer_datagrams<H: Handler>(handler: Arc<H>, connection: Connection, from: u64) {
    while let Ok(bytes) = connection.read_datagram().await {
        let Ok(datagram) = decode(&bytes) else { continue };
        if let Some(answer) = handler.datagram(from, datagram).await {
            // Fails only on a connection that is ending.
            let _ = connection.send_datagram(encode(&answer).into());
        }
    }
}

/// The first stream of a link and what is said on it.
async fn greeted(connection: &Connection) -> io::Result<(quinn::SendStream, Hello)> {
    let (send, mut recv) = connection.accept_bi().await?;
    let mut buffer = Vec::new();
    let hello = read_frame(&mut recv, &mut buffer, JOIN_FRAME_BYTES_MAX).await?;
    Ok((send, decode(hello.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?))
}

async fn serve_stream<H: Handler>(
    mut send: quinn::SendStream,
    mut recv: RecvStream,
    from: u64,
    handler: &H,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read_frame(&mut recv, &mut buffer, PEER_FRAME_BYTES_MAX).await? else { return Ok(()) };
        let mut abandoned = false;
        let content = Content { stream: &mut recv, abandoned: &mut abandoned };
        let Some(reply) = handler.handle(from, request, content).await else { return Ok(()) };
        write_frame(&mut send, &encode_frame(&reply)).await?;
        if abandoned {
            return Ok(());
        }
        if buffer.capacity() > 1 << 20 {
            buffer = Vec::new();
        }
    }
}

async fn serve_newcomer<H: Handler>(connection: &Connection, handler: &H) -> io::Result<()> {
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut buffer = Vec::new();
    let request = read_frame(&mut recv, &mut buffer, JOIN_FRAME_BYTES_MAX).await?;
    let request: JoinRequest = decode(request.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?;
    let reply = handler.join(unmapped(connection.remote_address()), request).await;
    write_frame(&mut send, &encode_frame(&reply)).await?;
    send.finish().map_err(io::Error::other)?;
    connection.closed().await;
    Ok(())
}

/// The TLS alert of a server that speaks none of the protocols it was asked for.
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// Said to members that dial before it is known who they are.
const STARTING: &[u8] = b"starting";

/// Whether a link has ended because the other side is not ready for it yet.
pub(super) fn is_starting(reason: &ConnectionError) -> bool {
    let refused = VarInt::from_u32(close::REFUSED);
    matches!(reason, ConnectionError::ApplicationClosed(it) if it.error_code == refused && *it.reason == *STARTING)
}

/// Said of a server that takes no members' links: until a newcomer is let in it answers probes only.
pub(super) const NEWCOMER: &str = "the server there is not started as a member yet";

/// Whether the other side speaks this program's protocols, and not the one that it was asked for.
fn speaks_otherwise(error: &ConnectionError) -> bool {
    let refused = quinn::TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL);
    matches!(error, ConnectionError::ConnectionClosed(close) if close.error_code == refused)
}

/// An address that cannot even be tried, in words that name what to give instead.
fn undialled(error: ConnectError) -> io::Error {
    match error {
        ConnectError::InvalidRemoteAddress(_) => io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is no address to connect to: give the one under which that server's machine is reached",
        ),
        error => io::Error::other(error),
    }
}

/// A connection of somebody without a certificate to a member of the cluster with a pinned key.
#[derive(Debug)]
pub(super) struct Reached {
    endpoint: quinn::Endpoint,
    connection: Connection,
    /// This machine's address on the way there.
    local: IpAddr,
}

/// Connects to a member, at whichever of its addresses answers first, and says nothing.
///
/// # Errors
/// The node cannot be reached, or proves another key than the pinned one.
pub(super) async fn reach(address: &str, pin: Pin) -> Result<Reached, JoinError> {
    let mut client = quinn::ClientConfig::new(Arc::new(tls::join_client(pin)?));
    client.transport_config(Arc::new(transport()));
    // Another server may live at another address of a name, so one that proves the wrong key ends nothing but its attempt.
    let wrong = Arc::new(Mutex::new(None));
    let seen = wrong.clone();
    let attempt = move |remote| reach_at(client.clone(), remote, seen.clone());
    match dial::first(&[address.to_owned()], attempt).await {
        Ok((reached, _)) => Ok(reached),
        Err(error) => {
            let wrong = wrong.lock().expect("nobody panics while holding this lock").take();
            Err(wrong.map_or(JoinError::Unreachable(error), JoinError::WrongCluster))
        }
    }
}

/// Asks the node at `address` to be let in, once. `request` is told the local address of the connection, and says why there is
/// none to be made. Nothing is said to a server of another cluster than `expected`, if one is.
///
/// # Errors
/// The node cannot be reached, proves another key than the pinned one, or breaks off.
pub async fn ask_to_join(
    address: &str,
    pin: Pin,
    expected: Option<&str>,
    request: impl FnOnce(IpAddr) -> Result<JoinRequest, String>,
) -> Result<(JoinReply, CertificateDer<'static>), JoinError> {
    let Reached { endpoint, connection, local } = reach(address, pin).await?;
    let ca = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or_else(|| JoinError::WrongCluster("it shows no certificate".into()))?;
    if let Some(expected) = expected
        && let found = ca.first().and_then(tls::cluster_of).unwrap_or_default()
        && found != expected
    {
        return Err(JoinError::Unexpected { expected: expected.to_owned(), found });
    }
    let ca = ca
        .into_iter()
        .find(|certificate| Pin::of_certificate(certificate) == Some(pin))
        .ok_or_else(|| JoinError::WrongCluster("the pinned key is not in its chain".into()))?;
    let request = request(local).map_err(JoinError::NoAddress)?;
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        write_frame(&mut send, &encode_frame(&request)).await?;
        let mut buffer = Vec::new();
        let reply = read_frame(&mut recv, &mut buffer, PEER_FRAME_BYTES_MAX).await?;
        decode(reply.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)
    };
    // A server that is reached and never answers would be waited for as long as its link stands.
    let reply =
        tokio::time::timeout(JOIN_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let reply = reply.map_err(JoinError::Unreachable)?;
    connection.close(VarInt::from_u32(close::STOPPING), b"joined");
    endpoint.wait_idle().await;
    Ok((reply, ca))
}

async fn reach_at(
    client: quinn::ClientConfig,
    remote: SocketAddr,
    wrong: Arc<Mutex<Option<String>>>,
) -> io::Result<Reached> {
    // A connected socket tells which local address leads there.
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(remote).map_err(unsent)?;
    let local = probe.local_addr()?.ip();
    let endpoint = quinn::Endpoint::client(any)?;
    let connecting = endpoint.connect_with(client, remote, "join.samira").map_err(undialled)?;
    match connecting.await {
        Ok(connection) => Ok(Reached { endpoint, connection, local }),
        Err(error) => {
            if let ConnectionError::TransportError(error) = &error
                && u64::from(error.code) & !0xff == 0x100
            {
                *wrong.lock().expect("nobody panics while holding this lock") = Some(plain(&error.reason).to_owned());
            }
            Err(io::Error::other(unreached(error)))
        }
    }
}

/// The reason of our own verifier, without the words that rustls puts in front of it.
fn plain(reason: &str) -> &str {
    reason.strip_prefix("unexpected error: ").unwrap_or(reason)
}

/// The system's refusal to send anything to an address, in words that name what to look at.
fn unsent(error: io::Error) -> io::Error {
    let said = format!("this machine sends no UDP there ({error}); look at its routes and at its own firewall");
    io::Error::new(error.kind(), said)
}

/// An error of somebody who asks to be let in, in words that name what to look at.
fn unreached(error: ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => {
            "no answer over UDP; see whether a server runs there, and whether a firewall lets UDP through".to_owned()
        }
        // A newcomer answers nobody but the members that ask it back.
        error if speaks_otherwise(&error) => {
            "the server there is no member of a cluster itself yet; give the address of one that is".to_owned()
        }
        error => error.to_string(),
    }
}

/// Why asking to join gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Not reached; worth trying again.
    #[error("{0}")]
    Unreachable(io::Error),
    /// The server there is not of the cluster the code is for; nothing was said to it.
    #[error("the server there does not belong to the cluster this join code is for ({0})")]
    WrongCluster(String),
    /// The server there is of another cluster than `--expect-cluster` says; nothing was said to it.
    #[error(
        "the server there belongs to cluster {found}, and --expect-cluster says {expected}: give the address and the \
         join code of a server of cluster {expected}, or take --expect-cluster away; the join code was not used up"
    )]
    Unexpected {
        /// Id of the cluster that the operator expects.
        expected: String,
        /// Id of the cluster that the server there belongs to.
        found: String,
    },
    /// This machine has no address that the cluster could use; nothing was said.
    #[error("{0}")]
    NoAddress(String),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_newcomers_way_is_said_in_words_for_its_operator() {
        assert_eq!(plain("unexpected error: this server does not belong"), "this server does not belong");
        // A route of the type blackhole.
        let said = unsent(io::Error::from_raw_os_error(22)).to_string();
        assert!(said.starts_with("this machine sends no UDP there (Invalid argument"), "{said}");
        let said = undialled(ConnectError::InvalidRemoteAddress(([0, 0, 0, 0], 5555).into())).to_string();
        assert!(said.contains("no address to connect to") && !said.contains("0.0.0.0"), "{said}");
    }
}
