//! A network between nodes on loopback whose ways can be cut, one direction at a time, without any privilege.
//!
//! Each node advertises a *door* instead of its own address, so that all others come through it. A door knows who comes by
//! the port they send from (a node dials from the port it listens on), and passes UDP datagrams on in both directions
//! unless their way is cut. The silent TCP connections, by which nodes notice each other's death, pass at all times: a
//! network that loses everything closes no connection. A door has to be closed before its node is killed, because a dead
//! process refuses connections, and opened before the next start.
//!
//! Clients use the nodes' own addresses.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use crate::cluster::{Cluster, Join, Node};
use crate::switch::{Shape, Switch};
use crate::wait_for;

/// How often a thread that waits for the network looks whether the network still exists.
const LOOK: Duration = Duration::from_millis(200);

/// Pause between two looks for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Largest datagram.
const DATAGRAM_BYTES: usize = 64 << 10;

/// The network: everything stops with it.
#[derive(Debug, Default)]
pub struct Network {
    /// Extra environment of each node that is started in it.
    pub node_env: Vec<(String, OsString)>,
    ways: Arc<Ways>,
    /// By the node's own address.
    doors: HashMap<SocketAddr, Door>,
}

#[derive(Debug)]
struct Ways {
    /// From, to; the nodes' own addresses.
    cut: RwLock<HashSet<(SocketAddr, SocketAddr)>>,
    switch: Arc<Switch>,
    ended: AtomicBool,
}

impl Default for Ways {
    fn default() -> Self {
        Self { cut: RwLock::default(), switch: Switch::start(), ended: AtomicBool::default() }
    }
}

#[derive(Debug)]
struct Door {
    address: SocketAddr,
    /// Gone while the node is dead.
    listener: Arc<Mutex<Option<TcpListener>>>,
}

impl Network {
    /// Makes a door to the node that listens on `node`, and returns the address to advertise.
    ///
    /// # Panics
    /// When there are no free ports.
    pub fn add_door(&mut self, node: SocketAddr) -> SocketAddr {
        let (listener, socket) = wait_for("a port that is free for TCP and UDP", || both_ports().ok());
        let address = listener.local_addr().expect("it is bound");
        let listener = Arc::new(Mutex::new(Some(listener)));
        self.doors.insert(node, Door { address, listener: listener.clone() });
        let ways = self.ways.clone();
        thread::spawn(move || pass_datagrams(&socket, node, &ways));
        let ways = self.ways.clone();
        thread::spawn(move || pass_connections(&listener, node, &ways));
        address
    }

    /// Nothing gets from one to the other any more, until [`Network::heal`].
    pub fn cut(&self, from: SocketAddr, to: SocketAddr) {
        self.ways.cut.write().unwrap_or_else(PoisonError::into_inner).insert((from, to));
    }

    /// Every way is open again.
    pub fn heal(&self) {
        self.ways.cut.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Datagrams between nodes go over such lines from now on; connections, which say nothing, do not.
    pub fn shape(&self, shape: Shape) {
        self.ways.switch.set(shape);
    }

    /// New connections to this node are refused, as those to a dead process are.
    pub fn close(&self, node: SocketAddr) {
        if let Some(door) = self.doors.get(&node) {
            door.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Ends [`Network::close`].
    ///
    /// # Panics
    /// When somebody else has taken the port.
    pub fn open(&self, node: SocketAddr) {
        if let Some(door) = self.doors.get(&node) {
            let listener = wait_for("the door's port", || listen(door.address).ok());
            *door.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ways.ended.store(true, Relaxed);
        self.ways.switch.end();
    }
}

impl Ways {
    fn is_open(&self, from: SocketAddr, to: SocketAddr) -> bool {
        !self.cut.read().unwrap_or_else(PoisonError::into_inner).contains(&(from, to))
    }

    fn ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn both_ports() -> io::Result<(TcpListener, UdpSocket)> {
    let listener = listen(([127, 0, 0, 1], 0).into())?;
    let socket = UdpSocket::bind(listener.local_addr()?)?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok((listener, socket))
}

/// An address on which nobody listens, neither on TCP nor on UDP.
///
/// # Panics
/// When there are no free ports.
pub fn free_address() -> SocketAddr {
    let (listener, _socket) = wait_for("a port that is free for TCP and UDP", || both_ports().ok());
    listener.local_addr().expect("it is bound")
}

/// Starts `count` nodes with such a network between them, and waits until all vote.
///
/// # Panics
/// When that does not come about.
pub fn start(count: usize) -> (Cluster, Network) {
    start_in(Network::default(), count)
}

/// [`start`] in a network that has no nodes yet.
///
/// # Panics
/// See there.
pub fn start_in(mut network: Network, count: usize) -> (Cluster, Network) {
    let mut cluster = Cluster::empty();
    for number in 1..=count {
        add_node(&mut cluster, &mut network, &format!("n{number}"));
    }
    cluster.wait_voters(count);
    (cluster, network)
}

/// Starts one more node whose peers come through a door.
///
/// # Panics
/// When it does not serve in time.
pub fn add_node<'a>(cluster: &'a mut Cluster, network: &mut Network, name: &str) -> &'a Node {
    let node = new_node(cluster, network, name);
    let join = cluster.running().next().map(|member| {
        // A node goes on to look for the others where it was told to; so that must be through a door as well.
        let peer = network.doors.get(&member.address()).map(|door| door.address.to_string());
        let invited = member.invite();
        Join { peer: peer.unwrap_or(invited.peer), ..invited }
    });
    // In the list before its start, so that its log is shown if that fails.
    cluster.nodes.push(node);
    let node = cluster.nodes.last().expect("just pushed");
    node.start(join.as_ref());
    node
}

/// A node whose peers come through a door; not in the cluster's list and not started.
///
/// # Panics
/// When there are no free ports.
pub fn new_node(cluster: &Cluster, network: &mut Network, name: &str) -> Node {
    let mut node = cluster.new_node(name);
    let address = free_address();
    node.set_address(address);
    node.env.clone_from(&network.node_env);
    node.args = vec!["--advertise".into(), network.add_door(address).to_string()];
    node
}

/// One end of a datagram's way. Errors of UDP are those of datagrams before (a port without a process): they are lost.
fn receive(socket: &UdpSocket, datagram: &mut [u8]) -> Option<(usize, SocketAddr)> {
    socket.recv_from(datagram).ok()
}

fn pass_datagrams(door: &UdpSocket, node: SocketAddr, ways: &Arc<Ways>) {
    let Ok(door) = door.try_clone().map(Arc::new) else { return };
    // A socket towards the node for each peer, so that the node can tell them apart and its answers find back.
    let mut towards: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; DATAGRAM_BYTES];
    while !ways.ended() {
        let Some((bytes, peer)) = receive(&door, &mut datagram) else { continue };
        let socket = match towards.get(&peer) {
            Some(socket) => socket,
            None => {
                let Ok(socket) = socket_towards(node) else { continue };
                let (back, door, ways) = (socket.clone(), door.clone(), ways.clone());
                thread::spawn(move || pass_answers(&back, &door, node, peer, &ways));
                towards.entry(peer).or_insert(socket)
            }
        };
        if ways.is_open(peer, node) {
            ways.switch.carry(peer, socket, None, &datagram[..bytes]);
        }
    }
}

fn socket_towards(node: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.connect(node)?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(Arc::new(socket))
}

fn pass_answers(back: &UdpSocket, door: &Arc<UdpSocket>, node: SocketAddr, peer: SocketAddr, ways: &Ways) {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    while !ways.ended() {
        let Some((bytes, _)) = receive(back, &mut datagram) else { continue };
        if ways.is_open(node, peer) {
            ways.switch.carry(node, door, Some(peer), &datagram[..bytes]);
        }
    }
}

fn pass_connections(listener: &Mutex<Option<TcpListener>>, node: SocketAddr, ways: &Ways) {
    while !ways.ended() {
        let accepted = match &*listener.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(listener) => listener.accept().ok(),
            None => None,
        };
        let Some((outer, _)) = accepted else {
            thread::park_timeout(ACCEPT_PAUSE);
            continue;
        };
        // If nobody is there any more, the connection just ends.
        if let Ok(inner) = TcpStream::connect(node) {
            let _ = join(&outer, &inner);
        }
    }
}

/// Passes bytes in both directions until either side ends; then both do.
fn join(outer: &TcpStream, inner: &TcpStream) -> io::Result<()> {
    outer.set_nonblocking(false)?;
    for (mut from, mut to) in [(outer.try_clone()?, inner.try_clone()?), (inner.try_clone()?, outer.try_clone()?)] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            for end in [from, to] {
                let _ = end.shutdown(Shutdown::Both);
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::wait_until;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        socket
    }

    /// Whether a word gets through, tried until it does or `tries` are over.
    fn arrives(from: &UdpSocket, at: SocketAddr, to: &UdpSocket, tries: usize) -> Option<SocketAddr> {
        let mut word = [0; 8];
        (0..tries).find_map(|_| {
            from.send_to(b"word", at).unwrap();
            to.recv_from(&mut word).ok().map(|(_, sender)| sender)
        })
    }

    #[test]
    fn each_direction_is_cut_by_itself_and_healed() {
        let (node, peer) = (socket(), socket());
        let (node_at, peer_at) = (node.local_addr().unwrap(), peer.local_addr().unwrap());
        let mut network = Network::default();
        let door = network.add_door(node_at);
        let seen_as = arrives(&peer, door, &node, 100).expect("the way is open");
        assert_eq!(arrives(&node, seen_as, &peer, 100), Some(door), "answers come from the door");

        network.cut(peer_at, node_at);
        assert_eq!(arrives(&peer, door, &node, 3), None);
        assert!(arrives(&node, seen_as, &peer, 100).is_some(), "only one direction is cut");
        network.heal();
        network.cut(node_at, peer_at);
        assert!(arrives(&peer, door, &node, 100).is_some());
        assert_eq!(arrives(&node, seen_as, &peer, 3), None);
        network.heal();
        assert!(arrives(&node, seen_as, &peer, 100).is_some());
    }

    #[test]
    fn connections_pass_and_end_together_and_a_closed_door_refuses_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = listener.local_addr().unwrap();
        let mut network = Network::default();
        let door = network.add_door(node);
        let mut outer = TcpStream::connect(door).unwrap();
        outer.write_all(b"x").unwrap();
        let (mut inner, _) = listener.accept().unwrap();
        let mut byte = [0];
        inner.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        network.close(node);
        drop(inner);
        assert_eq!(outer.read(&mut byte).unwrap(), 0, "the end of one side is the end of the other");
        let refused = TcpStream::connect(door).expect_err("the door is closed").kind();
        assert_eq!(refused, io::ErrorKind::ConnectionRefused);
        network.open(node);
        wait_until("the door to be open", || TcpStream::connect(door).is_ok());
    }
}
