//! Where members may be reached beside the address that the cluster lists for them: where their own links come from, where
//! they were reached before, and where others say that they reach them.
//!
//! None of it is trusted. Whoever answers at such an address has to prove by its certificate that it is the member.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quinn::Connection;
use tokio::sync::watch;

use crate::limits::ARRIVALS_MAX;
use crate::listen::unmapped;

/// What is known of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// In the list of members: `HOST:PORT`.
    pub(super) listed: String,
    /// Where it was reached last.
    pub(super) reached: Option<SocketAddr>,
    /// Where others say that they reach it, by who says so.
    told: BTreeMap<u64, String>,
}

impl Places {
    /// Known by the list of members only.
    pub(super) fn listed(address: &str) -> Self {
        Places { listed: address.to_owned(), ..Places::default() }
    }

    /// Notes what `teller` says now, which may be nothing any more. False if that is nothing new.
    pub(super) fn tell(&mut self, teller: u64, address: Option<&str>) -> bool {
        match address {
            Some(address) if self.told.get(&teller).is_none_or(|known| known != address) => {
                self.told.insert(teller, address.to_owned());
                true
            }
            Some(_) => false,
            None => self.told.remove(&teller).is_some(),
        }
    }

    /// In the order in which they are tried.
    pub(super) fn candidates(&self, came_from: Option<SocketAddr>) -> Vec<String> {
        let spelled = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let all = [Some(self.listed.clone()), spelled(self.reached), spelled(came_from)].into_iter().flatten();
        let mut candidates: Vec<String> = Vec::new();
        for address in all.chain(self.told.values().cloned()) {
            if !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        candidates
    }
}

/// Where the links of other members come from, over all of them. Nodes dial from the port they listen on.
#[derive(Debug)]
pub(super) struct Arrivals {
    links: Mutex<HashMap<u64, Arrival>>,
    changed: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct Arrival {
    /// While it stands: its other end may move.
    link: Option<Connection>,
    from: SocketAddr,
}

impl Arrivals {
    /// None yet; `changed` is told of each.
    pub(super) fn new(changed: Arc<watch::Sender<()>>) -> Self {
        Arrivals { links: Mutex::default(), changed }
    }

    /// An admitted member's link stands. The guard ends with the link.
    pub(super) fn arrive(self: &Arc<Self>, node: u64, link: &Connection) -> Arrived {
        let mut links = self.lock();
        if links.len() >= ARRIVALS_MAX {
            links.retain(|_, arrival| arrival.link.is_some());
        }
        if links.len() < ARRIVALS_MAX || links.contains_key(&node) {
            links.insert(node, Arrival { link: Some(link.clone()), from: unmapped(link.remote_address()) });
        }
        drop(links);
        self.changed.send_replace(());
        Arrived { all: self.clone(), node, link: link.stable_id() }
    }

    /// Where this member's link comes from, or came from last.
    pub(super) fn from(&self, node: u64) -> Option<SocketAddr> {
        let (link, from) = self.lock().get(&node).map(|arrival| (arrival.link.clone(), arrival.from))?;
        Some(link.map_or(from, |link| unmapped(link.remote_address())))
    }

    /// Whether this member has a link to us now.
    pub(super) fn is_here(&self, node: u64) -> bool {
        self.lock().get(&node).is_some_and(|arrival| arrival.link.is_some())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arrival>> {
        self.links.lock().expect("nobody panics while holding this lock")
    }
}

/// An incoming link that stands.
#[derive(Debug)]
pub(super) struct Arrived {
    all: Arc<Arrivals>,
    node: u64,
    link: usize,
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let ended = |arrival: &mut Arrival| arrival.link.take_if(|link| link.stable_id() == self.link);
        let link = self.all.lock().get_mut(&self.node).and_then(ended);
        if let Some(from) = link.map(|link| unmapped(link.remote_address()))
            && let Some(arrival) = self.all.lock().get_mut(&self.node)
            && arrival.link.is_none()
        {
            arrival.from = from;
        }
        self.all.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_tried_first_and_nothing_twice() {
        let mut places = Places::listed("name:1");
        assert_eq!(places.candidates(None), ["name:1"]);
        let at = |text: &str| Some(text.parse().unwrap());
        places.reached = at("10.0.0.1:1");
        assert!(places.tell(7, Some("10.0.0.3:1")) && !places.tell(7, Some("10.0.0.3:1")));
        assert!(places.tell(8, Some("10.0.0.2:1")));
        let expected = ["name:1", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];
        assert_eq!(places.candidates(at("10.0.0.2:1")), expected);
        assert!(places.tell(7, None) && !places.tell(7, None));
        assert_eq!(places.candidates(at("10.0.0.1:1")), ["name:1", "10.0.0.1:1", "10.0.0.2:1"]);
    }
}
