//! Addresses that change: this node's own is followed and announced, and the members tell each other where they reach whom.
//!
//! The list of members holds one address of each, and changing it takes a majority. A member that has moved is therefore
//! found by other means first: by where its own links come from, by what members that reach it say, and by the addresses
//! that an operator gave (`--peers`). The list follows once there is a leader.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::limits::ADDRESSES_MAX;
use wire::replication::entry::Member;
use wire::replication::rpc::{KnownAddress, PeerReply, PeerRequest};

use super::leader::Leadership;
use super::membership::update_member;
use super::types::Raft;
use crate::cluster::addresses::address_now;
use crate::cluster::identity::DataDir;
use crate::limits::{ADDRESS_CHECK, CALL_TIMEOUT, MEMBERSHIP_PAUSE, VISIT_PAUSE_MAX, VISIT_PAUSE_MIN};
use crate::quic::dial::{is_link_local, literal};
use crate::quic::peer::Lane;

/// Follows the address of a machine whose operator has named none: when the one that the others know is gone, the one that
/// leads to the others now takes its place.
pub(super) async fn follow(own: watch::Sender<Member>, listen: SocketAddr, leadership: Leadership, data: Arc<DataDir>) {
    let mut links = leadership.peers().links();
    loop {
        // A lost link is the first sign of it. Where none is lost nobody is in a hurry.
        let _ = tokio::time::timeout(ADDRESS_CHECK, links.changed()).await;
        let before = own.borrow().address.clone();
        let towards: Vec<SocketAddr> = leadership.peers().linked().into_iter().map(|link| link.at).collect();
        let address = address_now(listen, &before, &towards);
        if address == before {
            continue;
        }
        tracing::info!(before, address, "this machine's address has changed");
        if let Err(error) = data.keep_address(&address) {
            tracing::warn!(%error, "the new address cannot be kept");
        }
        own.send_modify(|me| me.address = address);
    }
}

/// Tells the cluster where this node is reached whenever it is listed otherwise. The leader is told directly or by way of
/// any member that is linked with us.
pub(super) async fn announce(raft: Raft, mut leadership: Leadership, mut own: watch::Receiver<Member>) {
    loop {
        let me = own.borrow_and_update().clone();
        let members = leadership.members();
        let listed = members.iter().any(|(member, _)| *member == me);
        if listed || !members.iter().any(|(member, _)| member.id == me.id) {
            tokio::select! {
                () = leadership.changed() => {}
                changed = own.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let done = if leadership.leader() == Some(me.id) {
            update_member(&raft, me).await.is_ok()
        } else {
            announce_to_others(&leadership, &me).await
        };
        if !done {
            let _ = tokio::time::timeout(MEMBERSHIP_PAUSE, leadership.changed()).await;
        } else if leadership.members().iter().all(|(member, _)| *member != *own.borrow()) {
            // Done there, and not applied here yet.
            let _ = tokio::time::timeout(CALL_TIMEOUT, leadership.changed()).await;
        }
    }
}

/// The leader first, if it is known and reached.
async fn announce_to_others(leadership: &Leadership, me: &Member) -> bool {
    let mut linked = leadership.peers().linked();
    let leader = leadership.leader();
    linked.sort_by_key(|link| Some(link.peer.id()) != leader);
    for link in linked {
        let announce = PeerRequest::Announce { member: me.clone() };
        if let Ok(PeerReply::Done) = link.peer.call(Lane::Control, &announce, CALL_TIMEOUT).await {
            return true;
        }
    }
    false
}

/// Tells every linked member where this node is reached and where it reaches the others, whenever that changes. Only what
/// is proven by a link is told, so nothing old goes round.
pub(super) async fn tell(leadership: Leadership, mut own: watch::Receiver<Member>) {
    let mut links = leadership.peers().links();
    let mut told: HashMap<u64, (usize, Vec<KnownAddress>)> = HashMap::new();
    loop {
        links.borrow_and_update();
        let me = own.borrow_and_update().clone();
        let linked = leadership.peers().linked();
        let mut calls = JoinSet::new();
        for link in &linked {
            let id = link.peer.id();
            let reached = linked.iter().filter(|other| other.peer.id() != id);
            let reached = reached.map(|other| KnownAddress { node: other.peer.id(), address: other.at.to_string() });
            let mine = KnownAddress { node: me.id, address: me.address.clone() };
            let known: Vec<KnownAddress> =
                std::iter::once(mine).chain(reached).filter(|known| helps(&known.address, link.at)).collect();
            let news = (link.link, known);
            if told.get(&id) != Some(&news) {
                let peer = link.peer.clone();
                calls.spawn(async move {
                    let request =
                        PeerRequest::Addresses { known: news.1.iter().take(ADDRESSES_MAX).cloned().collect() };
                    let answered = peer.call(Lane::Control, &request, CALL_TIMEOUT).await.is_ok();
                    answered.then_some((id, news))
                });
            }
        }
        told.retain(|id, _| linked.iter().any(|link| link.peer.id() == *id));
        let mut all = true;
        while let Some(answered) = calls.join_next().await {
            match answered.ok().flatten() {
                Some((id, news)) => drop(told.insert(id, news)),
                None => all = false,
            }
        }
        let changed = async {
            tokio::select! {
                changed = links.changed() => changed.is_ok(),
                changed = own.changed() => changed.is_ok(),
            }
        };
        let open = if all { changed.await } else { tokio::time::timeout(CALL_TIMEOUT, changed).await.unwrap_or(true) };
        if !open {
            return;
        }
    }
}

/// Whether an address can mean the same to a member that is reached at `at` as it does here.
fn helps(address: &str, at: SocketAddr) -> bool {
    literal(address)
        .is_none_or(|known| !is_link_local(known.ip()) && (!known.ip().is_loopback() || at.ip().is_loopback()))
}

/// Dials the addresses that an operator gave, for as long as a member is not reached: any member may answer there. It then
/// knows where we are, and we know where it is.
pub(super) async fn visit(leadership: Leadership, given: Vec<String>) {
    let mut said: HashMap<String, String> = HashMap::new();
    let (mut pause, mut links) = (VISIT_PAUSE_MIN, leadership.peers().links());
    while !given.is_empty() {
        // The others may be where they were; and whoever has just been found has a moment to come.
        tokio::time::sleep(pause).await;
        if leadership.members().iter().all(|(member, _)| leadership.reaches(member.id)) {
            pause = VISIT_PAUSE_MIN;
            if links.changed().await.is_err() {
                return;
            }
            continue;
        }
        pause = (pause * 2).min(VISIT_PAUSE_MAX);
        for address in &given {
            let outcome = match leadership.peers().visit(address).await {
                Ok(Some(node)) => format!("server {node:016x} answers there"),
                // It is linked already.
                Ok(None) => continue,
                Err(error) => format!("no member answers there: {error}"),
            };
            if said.get(address) != Some(&outcome) {
                tracing::info!(address, outcome, "looked for the others");
                said.insert(address.clone(), outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_mean_the_same_elsewhere_are_passed_on() {
        let at = |text: &str| text.parse().unwrap();
        let (far, here) = (at("10.0.0.2:5555"), at("127.0.0.1:5556"));
        for (address, expected) in [
            ("10.0.0.1:5555", true),
            ("name:5555", true),
            ("127.0.0.1:5555", false),
            ("[::1]:5555", false),
            ("[fe80::1]:5555", false),
            ("[fd00::1]:5555", true),
        ] {
            assert_eq!(helps(address, far), expected, "{address}");
        }
        assert!(helps("127.0.0.1:5555", here));
    }
}
