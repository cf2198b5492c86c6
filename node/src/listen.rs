//! The sockets that a node listens on. One of `[::]` takes both families, whatever the system's default is, so that what is
//! printed is what is listened on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use crate::limits::ACCEPT_QUEUE;

/// For clients.
///
/// # Errors
/// The system's.
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = opened(address, SocketType::STREAM)?;
    // A restarted server must not wait until the connections of its former life are forgotten.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, ACCEPT_QUEUE)?;
    Ok(socket.into())
}

/// For nodes.
///
/// # Errors
/// The system's.
pub fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = opened(address, SocketType::DGRAM)?;
    bind(&socket, &address)?;
    Ok(socket.into())
}

/// Every address of both families, or of the older one on a machine without the newer.
pub fn possible(address: SocketAddr) -> SocketAddr {
    let any = address.is_ipv6() && address.ip().is_unspecified();
    if any && tcp(SocketAddr::new(address.ip(), 0)).is_err() {
        return (Ipv4Addr::UNSPECIFIED, address.port()).into();
    }
    address
}

/// An address of the older protocol as what it is: where both families are served the system shows it mapped into the newer
/// one.
pub fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().map_or(address, |ip| (ip, v6.port()).into()),
        SocketAddr::V4(_) => address,
    }
}

fn opened(address: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket(family, kind, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn mapped_addresses_are_unmapped_and_others_stay_whole() {
        for (shown, meant) in [
            ("[::ffff:10.0.0.1]:3", "10.0.0.1:3"),
            ("10.0.0.1:3", "10.0.0.1:3"),
            ("[::1]:3", "[::1]:3"),
            ("[fe80::1%7]:3", "[fe80::1%7]:3"),
        ] {
            assert_eq!(unmapped(shown.parse().unwrap()), meant.parse().unwrap(), "{shown}");
        }
    }

    #[test]
    fn one_socket_takes_both_families() {
        let address = possible("[::]:0".parse().unwrap());
        let listener = tcp(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        udp(listener.local_addr().unwrap()).unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if address.is_ipv6() {
            TcpStream::connect(("::1", port)).unwrap();
        }
    }
}
