//! Which of this machine's addresses the others are told.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::quic::dial::is_link_local;

/// Addresses of this machine that others may reach, loopback left out, those of the older protocol first.
pub fn interfaces() -> Vec<IpAddr> {
    let mut found: Vec<_> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    found.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    found
}

/// Where others reach a node that nobody has told: where it listens, or the address of the machine that its default route
/// leaves from. The first in order is the last resort: it may belong to a bridge of containers.
pub fn own_address(listen: SocketAddr) -> String {
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    SocketAddr::new(own_ip(listen).unwrap_or_else(|| [127, 0, 0, 1].into()), listen.port()).to_string()
}

fn own_ip(listen: SocketAddr) -> Option<IpAddr> {
    let mut found = interfaces();
    // 0.0.0.0 takes no connections over IPv6.
    found.retain(|ip| listen.is_ipv6() || ip.is_ipv4());
    let routed = default_sources().into_iter().flatten().find(|ip| found.contains(ip));
    routed.or_else(|| found.first().copied())
}

/// The addresses that this machine uses towards the rest of the world, in both families. Where to does not matter, so it is
/// an address of a documentation network.
fn default_sources() -> [Option<IpAddr>; 2] {
    [source_towards(([192, 0, 2, 1], 9).into()), source_towards(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into())]
}

/// The address that this machine uses towards another one. Nothing is sent: connecting a UDP socket only chooses a route.
pub fn source_towards(other: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if other.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let probe = UdpSocket::bind(any).ok()?;
    probe.connect(other).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

/// Where others reach a newcomer that reaches them from `local`: there, unless it listens on one address only, or that address
/// means something on one cable only. `None` if there is no other.
pub fn address_of_newcomer(listen: SocketAddr, local: IpAddr) -> Option<String> {
    if !listen.ip().is_unspecified() {
        return Some(listen.to_string());
    }
    let ip = if is_link_local(local) { own_ip(listen)? } else { local };
    Some(SocketAddr::new(ip, listen.port()).to_string())
}

/// Where others reach a node that was reached at `before`: still there, if this machine still has that address, or where it
/// leaves from `towards` the others, or into the world. An address that is only missing, as before the network is up, is
/// not replaced by one that nobody else can use.
pub fn address_now(listen: SocketAddr, before: &str, towards: &[SocketAddr]) -> String {
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let Ok(known) = before.parse::<SocketAddr>() else { return own_address(listen) };
    let again = SocketAddr::new(known.ip(), listen.port()).to_string();
    let found = interfaces();
    if known.ip().is_loopback() || found.contains(&known.ip()) {
        return again;
    }
    let linked = towards.iter().find_map(|&other| source_towards(other).filter(|ip| found.contains(ip)));
    linked.or_else(|| own_ip(listen)).map_or(again, |ip| SocketAddr::new(ip, listen.port()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_node_keeps_its_address_while_the_machine_has_it() {
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 7));
        assert_eq!(address_now(anywhere, "127.0.0.1:5", &[]), "127.0.0.1:7", "same address, new port");
        assert_eq!(address_now(([127, 0, 0, 1], 7).into(), "192.0.2.1:5", &[]), "127.0.0.1:7");
        // An address of a documentation network, which no machine has.
        let now = address_now(anywhere, "192.0.2.1:5", &[]);
        match own_ip(anywhere) {
            Some(ip) => assert_eq!(now, SocketAddr::new(ip, 7).to_string()),
            None => assert_eq!(now, "192.0.2.1:7", "without a network it waits for the one it had"),
        }
    }

    #[test]
    fn a_newcomer_is_reached_where_it_comes_from_unless_only_its_neighbours_could() {
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 7));
        let towards = |local: &str| address_of_newcomer(anywhere, local.parse().unwrap());
        assert_eq!(towards("10.0.0.9").as_deref(), Some("10.0.0.9:7"));
        assert_ne!(towards("fe80::1").as_deref(), Some("[fe80::1]:7"));
        let one = SocketAddr::from(([10, 0, 0, 1], 7));
        assert_eq!(address_of_newcomer(one, "10.0.0.9".parse().unwrap()).as_deref(), Some("10.0.0.1:7"));
    }
}
