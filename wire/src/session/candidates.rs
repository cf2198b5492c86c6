//! Which node to connect to next, and when.
//!
//! ```text
//!            next: an address            succeeded             failed, long after
//!  (choosing) ───────────────▶ (trying) ───────────▶ (in use) ────────────────────▶ (choosing: others first)
//!      ▲                          │ failed               │ failed, soon after
//!      └──────────────────────────┴──────────────────────┘
//! ```
//!
//! Nodes are tried in rounds: each known address once, at once one after the other. Behind a round in vain comes a wait,
//! drawn anew between nothing and a bound that doubles from [`RECONNECT_MS_MIN`] to [`RECONNECT_MS_MAX`], so that
//! clients which lost the same node do not come back at the same moments. A round begins with the node that was good
//! last, except directly after it was lost: then it comes last, because the others are there. The others follow in a
//! ring, which goes on where it stopped, and from anywhere after such a loss, so that the clients of a dead node spread
//! over those that are left.
//!
//! Addresses come from the user, and from nodes' `welcome` and `nodes`, whose word replaces what nodes told before.

use heapless::{String, Vec};

use crate::chat::item::Node;
use crate::limits::{ADDRESS_BYTES_MAX, CANDIDATES_MAX, RECONNECT_MS_MAX, RECONNECT_MS_MIN};
use crate::time::Millis;

/// Up to `COUNT` addresses of up to `BYTES` bytes.
#[derive(Debug, Clone)]
pub struct Candidates<const COUNT: usize = CANDIDATES_MAX, const BYTES: usize = ADDRESS_BYTES_MAX> {
    known: Vec<Candidate<BYTES>, COUNT>,
    /// The one that is tried or in use.
    current: Option<usize>,
    /// Since when it is in use.
    good_since: Option<Millis>,
    /// The one that was good last.
    last_good: Option<usize>,
    /// The place behind the one that was tried last; `None`: to be drawn.
    ring: Option<usize>,
    /// In this round the one that was good last comes last.
    avoid_last_good: bool,
    /// Rounds in vain.
    rounds: u32,
    wait_until: Option<Millis>,
}

#[derive(Debug, Clone)]
struct Candidate<const BYTES: usize> {
    address: String<BYTES>,
    /// By the user, so that no node can take it away.
    given: bool,
    tried: bool,
}

/// What to do about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'c> {
    /// Connect there, then say [`Candidates::succeeded`] or [`Candidates::failed`].
    Try(&'c str),
    /// Nothing before then.
    WaitUntil(Millis),
    /// No address is known.
    Nowhere,
}

/// Why an address is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Empty, or with a space or control character.
    #[error("no address: it is empty or holds a space")]
    NoAddress,
    /// More bytes than there is room for.
    #[error("the address is too long")]
    TooLong,
    /// As many are known as there is room for.
    #[error("too many addresses")]
    Full,
}

impl<const COUNT: usize, const BYTES: usize> Default for Candidates<COUNT, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const COUNT: usize, const BYTES: usize> Candidates<COUNT, BYTES> {
    /// Without any address.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            known: Vec::new(),
            current: None,
            good_since: None,
            last_good: None,
            ring: Some(0),
            avoid_last_good: false,
            rounds: 0,
            wait_until: None,
        }
    }

    // ---- getters -------------------------------------------------------------------------------------------

    /// The known addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|candidate| candidate.address.as_str())
    }

    /// The address that is tried or in use.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.current.map(|at| self.known[at].address.as_str())
    }

    /// The address that was good last: worth keeping for the next start.
    #[must_use]
    pub fn last_good(&self) -> Option<&str> {
        self.last_good.map(|at| self.known[at].address.as_str())
    }

    // ---- inputs --------------------------------------------------------------------------------------------

    /// Adds an address that the user gave. The first one added is the first to be tried.
    ///
    /// # Errors
    /// It is no address, or there is no room for it.
    pub fn add(&mut self, address: &str) -> Result<(), AddressError> {
        if let Some(candidate) = self.known.iter_mut().find(|candidate| candidate.address == address) {
            candidate.given = true;
            return Ok(());
        }
        self.push(address, true)
    }

    /// Takes what a node says about all nodes. Those told before and not any more are forgotten, except the ones in use
    /// and good last. What cannot be an address, or finds no room, is left out.
    pub fn learn(&mut self, nodes: &[Node<'_>]) {
        let told = |address: &str| nodes.iter().any(|node| node.address == address);
        for at in (0..self.known.len()).rev() {
            let Candidate { address, given, .. } = &self.known[at];
            if !given && !told(address) && self.current != Some(at) && self.last_good != Some(at) {
                self.remove(at);
            }
        }
        for node in nodes {
            if !self.addresses().any(|known| known == node.address) {
                let _left_out = self.push(node.address, false);
            }
        }
    }

    /// The connection to the current address stands: the node has said welcome.
    pub fn succeeded(&mut self, now: Millis) {
        self.last_good = self.current;
        self.good_since = Some(now);
    }

    /// The connection to the current address could not be made, or was lost.
    pub fn failed(&mut self, now: Millis) {
        let Some(lost) = self.current.take() else { return };
        let lasted = self.good_since.take().is_some_and(|since| now.since(since) >= RECONNECT_MS_MAX);
        if lasted {
            self.begin_round();
            self.avoid_last_good = true;
            self.ring = None;
            self.rounds = 0;
        }
        // Its turn in this round is over, unless it earned another at the end of a new one.
        self.known[lost].tried = !lasted;
    }

    // ---- outputs -------------------------------------------------------------------------------------------

    /// What to do now; `random` is any number, drawn anew for each call. While an address is tried or in use, it is that
    /// one again.
    pub fn next(&mut self, now: Millis, random: u64) -> Next<'_> {
        if let Some(at) = self.current {
            return Next::Try(&self.known[at].address);
        }
        if let Some(until) = self.wait_until {
            if now < until {
                return Next::WaitUntil(until);
            }
            self.wait_until = None;
            self.begin_round();
        }
        if self.known.is_empty() {
            return Next::Nowhere;
        }
        let Some(at) = self.choose(random) else {
            let bound_ms = RECONNECT_MS_MIN.saturating_mul(1 << self.rounds.min(16)).min(RECONNECT_MS_MAX);
            self.rounds = self.rounds.saturating_add(1);
            let until = now.after(random % (bound_ms + 1));
            self.wait_until = Some(until);
            return Next::WaitUntil(until);
        };
        self.known[at].tried = true;
        self.current = Some(at);
        Next::Try(&self.known[at].address)
    }

    // ---- inside --------------------------------------------------------------------------------------------

    fn push(&mut self, address: &str, given: bool) -> Result<(), AddressError> {
        if address.is_empty() || address.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(AddressError::NoAddress);
        }
        let address = String::try_from(address).map_err(|_| AddressError::TooLong)?;
        self.known.push(Candidate { address, given, tried: false }).map_err(|_| AddressError::Full)
    }

    fn remove(&mut self, at: usize) {
        self.known.remove(at);
        let moved = |place: usize| if place > at { place - 1 } else { place };
        self.current = self.current.map(moved);
        self.last_good = self.last_good.map(moved);
        self.ring = self.ring.map(moved);
    }

    fn begin_round(&mut self) {
        self.known.iter_mut().for_each(|candidate| candidate.tried = false);
        self.avoid_last_good = false;
    }

    /// The next one in this round; `None` at its end.
    fn choose(&mut self, random: u64) -> Option<usize> {
        let count = self.known.len();
        let good = self.last_good.filter(|&at| !self.known[at].tried);
        if let Some(at) = good
            && !self.avoid_last_good
        {
            return Some(at);
        }
        let start = self.ring.unwrap_or((random % count as u64) as usize);
        let other = (start..start + count)
            .map(|place| place % count)
            .find(|&at| !self.known[at].tried && self.last_good != Some(at));
        if let Some(at) = other {
            self.ring = Some(at + 1);
        }
        other.or(good)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    type Few = Candidates<4, 16>;

    fn at(ms: u64) -> Millis {
        Millis::from_ms(ms)
    }

    fn known(addresses: &[&str]) -> Few {
        let mut candidates = Few::new();
        for address in addresses {
            candidates.add(address).expect("room");
        }
        candidates
    }

    /// Fails at `now` until a wait; returns what was tried, in order, and when to go on.
    fn round(candidates: &mut Few, now: Millis, random: u64) -> (std::string::String, u64) {
        let mut tried = std::string::String::new();
        loop {
            match candidates.next(now, random) {
                Next::Try(address) => tried.push_str(address),
                Next::WaitUntil(until) => return (tried, until.as_ms()),
                Next::Nowhere => panic!("nowhere to go"),
            }
            candidates.failed(now);
        }
    }

    #[test]
    fn rounds_go_over_all_and_waits_grow_up_to_their_bound() {
        let mut candidates = known(&["a", "b", "c"]);
        let mut now = 0;
        for bound in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            // The longest wait that can be drawn.
            let (tried, until) = round(&mut candidates, at(now), bound);
            assert_eq!((tried.as_str(), until), ("abc", now + bound));
            assert_eq!(candidates.next(at(until - 1), 0), Next::WaitUntil(at(until)), "one too early");
            now = until;
        }
        let (tried, until) = round(&mut candidates, at(now), 5001 * 7);
        assert_eq!((tried.as_str(), until), ("abc", now), "the shortest wait is none");
    }

    #[test]
    fn an_address_is_told_until_it_is_known_what_came_of_it() {
        let mut candidates = known(&["a", "b"]);
        assert_eq!(candidates.next(at(0), 1), Next::Try("a"));
        assert_eq!(candidates.next(at(9), 2), Next::Try("a"));
        candidates.failed(at(9));
        candidates.failed(at(9));
        assert_eq!(candidates.next(at(9), 3), Next::Try("b"));
    }

    #[test]
    fn the_good_one_comes_first_and_last_after_its_loss() {
        let mut candidates = known(&["a", "b", "c"]);
        candidates.next(at(0), 0);
        candidates.failed(at(0));
        assert_eq!(candidates.next(at(0), 0), Next::Try("b"));
        candidates.succeeded(at(10));
        assert_eq!(candidates.last_good(), Some("b"));
        candidates.failed(at(10 + RECONNECT_MS_MAX));
        let (tried, until) = round(&mut candidates, at(20_000), 2);
        assert_eq!(tried, "cab", "the others first, from anywhere");
        let (tried, _) = round(&mut candidates, at(until), 0);
        assert_eq!(tried, "bca", "later the good one first, and the ring goes on");
    }

    #[test]
    fn a_connection_that_did_not_last_counts_as_failed() {
        for (lasted_ms, tried_at_once) in [(RECONNECT_MS_MAX - 1, false), (RECONNECT_MS_MAX, true)] {
            let mut candidates = known(&["a"]);
            assert_eq!(candidates.next(at(0), 0), Next::Try("a"));
            candidates.succeeded(at(0));
            candidates.failed(at(lasted_ms));
            let next = candidates.next(at(lasted_ms), 50);
            let expected = if tried_at_once { Next::Try("a") } else { Next::WaitUntil(at(lasted_ms + 50)) };
            assert_eq!(next, expected);
        }
    }

    #[test]
    fn what_nodes_tell_replaces_what_they_told() {
        let node = |address| Node { address, ..Node::default() };
        let mut candidates = known(&["given"]);
        candidates.learn(&[node("a"), node("b"), node(""), node("has space"), node("much.too.long:5555"), node("a")]);
        assert!(candidates.addresses().eq(["given", "a", "b"]));
        assert_eq!(candidates.next(at(0), 0), Next::Try("given"));
        candidates.failed(at(0));
        assert_eq!(candidates.next(at(0), 0), Next::Try("a"));
        candidates.learn(&[node("c"), node("d"), node("e")]);
        assert!(candidates.addresses().eq(["given", "a", "c", "d"]), "the current one stays, and one finds no room");
        assert_eq!(candidates.current(), Some("a"));
        candidates.succeeded(at(1));
        candidates.failed(at(2));
        candidates.learn(&[node("c")]);
        assert!(candidates.addresses().eq(["given", "a", "c"]), "the good one stays");
        assert_eq!(candidates.last_good(), Some("a"));
        assert_eq!(candidates.next(at(3), 0), Next::Try("c"));
        candidates.learn(&[]);
        assert!(candidates.addresses().eq(["given", "a", "c"]));
    }

    #[test]
    fn bad_addresses_and_too_many_are_refused() {
        let mut candidates = known(&["a", "b", "c"]);
        for (address, error) in [
            ("", AddressError::NoAddress),
            ("a b", AddressError::NoAddress),
            ("a\n", AddressError::NoAddress),
            ("12345678901234567", AddressError::TooLong),
        ] {
            assert_eq!(candidates.add(address), Err(error), "{address:?}");
        }
        assert_eq!(candidates.add("1234567890123456"), Ok(()));
        assert_eq!(candidates.add("a"), Ok(()), "known already");
        assert_eq!(candidates.add("d"), Err(AddressError::Full));
        assert_eq!(Few::new().next(at(0), 0), Next::Nowhere);
    }

    #[test]
    fn every_input_in_every_state() {
        let states: [fn(&mut Few); 5] = [
            |_| {},
            |candidates| assert_eq!(candidates.add("a"), Ok(())),
            |candidates| {
                let _ = (candidates.add("a"), candidates.next(at(0), 0));
            },
            |candidates| {
                let _ = (candidates.add("a"), candidates.next(at(0), 0));
                candidates.succeeded(at(1));
            },
            |candidates| {
                let _ = candidates.add("a");
                round(candidates, at(0), 7);
            },
        ];
        let inputs: [fn(&mut Few); 6] = [
            |candidates| assert_eq!(candidates.add("b"), Ok(())),
            |candidates| candidates.learn(&[Node { address: "c", ..Node::default() }]),
            |candidates| candidates.learn(&[]),
            |candidates| candidates.succeeded(at(5)),
            |candidates| candidates.failed(at(6)),
            |candidates| {
                candidates.next(at(u64::MAX), u64::MAX);
            },
        ];
        for state in states {
            for first in inputs {
                for second in inputs {
                    let mut candidates = Few::new();
                    state(&mut candidates);
                    first(&mut candidates);
                    second(&mut candidates);
                    let nowhere = candidates.next(at(9), 3) == Next::Nowhere;
                    assert_eq!(nowhere, candidates.addresses().next().is_none());
                }
            }
        }
    }
}
