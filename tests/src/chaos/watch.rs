//! What nodes say of themselves while all this happens, held against what must be so at every moment.
//!
//! * The term of a node never goes back, its own death included: a vote is on disk before anybody hears of it.
//! * What a node has applied never goes back, its own death included: it is told only after the transaction.
//! * Within one life of a process, what it knows to be committed never goes back.
//! * Replicas with the same applied index have the same hash.
//! * Terms have one leader at a time. openraft lets a term have a second one with a greater id: votes for (term, id) only
//!   ever go up. So once a node leads, none with a smaller id *becomes* leader of that term any more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Violations;
use crate::cluster::{Node, ask};
use crate::now;

/// Pause between two questions to the same node.
const POLL_PAUSE: Duration = Duration::from_millis(40);

/// Entries whose hashes are remembered: more than replicas are ever apart.
const HASHES_KEPT: usize = 200_000;

/// The part of a status that is looked at.
#[derive(Debug, Clone, Deserialize)]
struct Said {
    node_id: String,
    role: String,
    term: u64,
    committed: Option<u64>,
    applied: Option<u64>,
    state_hash: String,
}

/// One answered question.
#[derive(Debug, Clone)]
struct Poll {
    node: String,
    /// Which of its processes answered.
    life: u64,
    began: Instant,
    ended: Instant,
    said: Said,
}

/// Everything said so far, as far as it matters.
#[derive(Debug, Default)]
struct Record {
    last: BTreeMap<String, Poll>,
    /// Since when, at the latest, a node (by its id, fixed width) leads a term.
    leaders: BTreeMap<(u64, String), Instant>,
    hashes: BTreeMap<u64, (String, String)>,
}

impl Record {
    /// Takes what a node said, or says what is wrong with it.
    fn take(&mut self, poll: Poll) -> Result<(), String> {
        let Poll { node, said, .. } = &poll;
        if let Some(last) = self.last.get(node) {
            let before = &last.said;
            if said.term < before.term {
                return Err(format!("the term of {node} went back from {} to {}", before.term, said.term));
            }
            if said.applied < before.applied {
                let (then, now) = (before.applied, said.applied);
                return Err(format!("{node} had applied {then:?}, and later only {now:?}"));
            }
            if last.life == poll.life && said.committed < before.committed {
                let (then, now) = (before.committed, said.committed);
                return Err(format!("{node} knew {then:?} to be committed, and later only {now:?}"));
            }
        }
        if let Some(index) = said.applied {
            let known = self.hashes.entry(index).or_insert_with(|| (said.state_hash.clone(), node.clone()));
            if known.0 != said.state_hash {
                let (hash, other) = known;
                return Err(format!("{node} and {other} differ at entry {index}: {} and {hash}", said.state_hash));
            }
            while self.hashes.len() > HASHES_KEPT {
                self.hashes.pop_first();
            }
        }
        if said.role == "leader" {
            self.leads(&poll)?;
        }
        self.last.insert(poll.node.clone(), poll);
        Ok(())
    }

    fn leads(&mut self, poll: &Poll) -> Result<(), String> {
        let (term, id) = (poll.said.term, &poll.said.node_id);
        if self.leaders.contains_key(&(term, id.clone())) {
            return Ok(());
        }
        // Somebody greater who led before this node was last heard not to lead: it has become leader after that.
        let not_yet = self.last.get(&poll.node).map(|last| last.began);
        let greater = self.leaders.range((term, id.clone())..).take_while(|((other, _), _)| *other == term);
        for ((_, other), since) in greater {
            if not_yet.is_some_and(|not_yet| *since < not_yet) {
                return Err(format!("{id} became leader of term {term}, which {other} already led"));
            }
        }
        self.leaders.insert((term, id.clone()), poll.ended);
        Ok(())
    }
}

/// What was seen of elections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elections {
    /// Leaders seen, each term by itself.
    pub leaders: usize,
    /// Terms in which two led, which is legal here.
    pub shared_terms: usize,
    /// The highest term.
    pub term: u64,
}

/// Asks all nodes again and again.
pub struct Watch {
    record: Arc<Mutex<Record>>,
    violations: Violations,
    pollers: BTreeMap<String, Poller>,
    /// Nodes watched so far.
    added: usize,
}

struct Poller {
    /// Even while it lives.
    life: Arc<AtomicU64>,
    /// Dropped to end it.
    _stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches nobody yet; finds go to `violations`.
    pub fn new(violations: Violations) -> Self {
        Self { record: Arc::default(), violations, pollers: BTreeMap::new(), added: 0 }
    }

    /// Watches a node from now on, over all its lives. A blank one that has the name of one before is another node.
    pub fn add(&mut self, node: &Node) {
        self.added += 1;
        let label = format!("{} ({})", node.name, self.added);
        let (name, dir, life) = (node.name.clone(), node.dir.clone(), Arc::new(AtomicU64::new(0)));
        let (record, violations) = (self.record.clone(), self.violations.clone());
        let (stop, stopped) = channel::<()>();
        let thread = {
            let life = life.clone();
            thread::spawn(move || {
                use std::sync::mpsc::RecvTimeoutError::Timeout;
                while stopped.recv_timeout(POLL_PAUSE) == Err(Timeout) {
                    let Some(poll) = poll(&label, &dir, &life) else { continue };
                    let taken = record.lock().unwrap_or_else(PoisonError::into_inner).take(poll);
                    if let Err(what) = taken {
                        violations.report(what);
                    }
                }
            })
        };
        self.pollers.insert(name, Poller { life, _stop: stop, thread: Some(thread) });
    }

    /// Tells that the process of `node` is about to end, or about to begin: to be called in turn.
    pub fn turns(&self, node: &Node) {
        if let Some(poller) = self.pollers.get(&node.name) {
            poller.life.fetch_add(1, SeqCst);
        }
    }

    /// Asks it no more.
    pub fn remove(&mut self, node: &Node) {
        self.pollers.remove(&node.name);
    }

    /// What was seen so far.
    pub fn elections(&self) -> Elections {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut per_term: BTreeMap<u64, usize> = BTreeMap::new();
        for (term, _) in record.leaders.keys() {
            *per_term.entry(*term).or_default() += 1;
        }
        Elections {
            leaders: record.leaders.len(),
            shared_terms: per_term.values().filter(|leaders| **leaders > 1).count(),
            term: record.last.values().map(|poll| poll.said.term).max().unwrap_or(0),
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // Not joined: a question to a frozen node lasts until it is thawed or killed, and the thread ends with it.
        drop(self.thread.take());
    }
}

fn poll(label: &str, dir: &Path, life: &AtomicU64) -> Option<Poll> {
    let (before, began) = (life.load(SeqCst), now());
    let answer = ask(dir, &serde_json::json!({ "command": "status" })).ok()?;
    let ended = now();
    // An answer from around a death belongs to no life for certain.
    if life.load(SeqCst) != before || !before.is_multiple_of(2) {
        return None;
    }
    let said = serde_json::from_value(answer).ok()?;
    Some(Poll { node: label.into(), life: before, began, ended, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Play {
        record: Record,
        clock: Instant,
    }

    impl Play {
        fn new() -> Self {
            Self { record: Record::default(), clock: now() }
        }

        fn says(&mut self, node: &str, role: &str, term: u64, applied: u64, hash: &str) -> bool {
            self.life(0, node, role, term, applied, hash)
        }

        fn life(&mut self, life: u64, node: &str, role: &str, term: u64, applied: u64, hash: &str) -> bool {
            let began = self.clock + Duration::from_millis(1);
            let said = Said {
                node_id: node.into(),
                role: role.into(),
                term,
                committed: Some(applied),
                applied: Some(applied),
                state_hash: hash.into(),
            };
            self.clock = began + Duration::from_millis(1);
            self.record.take(Poll { node: node.into(), life, began, ended: self.clock, said }).is_ok()
        }
    }

    #[test]
    fn terms_and_applied_entries_do_not_go_back() {
        let mut play = Play::new();
        assert!(play.says("a", "follower", 2, 10, "x"));
        assert!(play.says("a", "follower", 3, 11, "y"));
        assert!(!play.says("a", "follower", 2, 12, "z"), "term");
        assert!(!play.says("a", "follower", 3, 10, "x"), "applied");
        assert!(!play.life(1, "a", "follower", 3, 10, "x"), "applied, after a restart");
        assert!(play.life(1, "a", "follower", 3, 11, "y"));
        assert!(play.says("b", "follower", 1, 1, "w"), "another node may be behind");
    }

    #[test]
    fn replicas_at_the_same_entry_are_equal() {
        let mut play = Play::new();
        assert!(play.says("a", "leader", 1, 10, "x"));
        assert!(play.says("b", "follower", 1, 10, "x"));
        assert!(!play.says("c", "follower", 1, 10, "y"));
    }

    #[test]
    fn nobody_takes_a_term_from_a_greater_leader() {
        let mut play = Play::new();
        assert!(play.says("a", "follower", 4, 1, "x"));
        assert!(play.says("b", "leader", 5, 1, "x"));
        // It may have led before b, and not know better.
        assert!(play.says("a", "leader", 5, 1, "x"));
        assert!(play.says("c", "leader", 5, 1, "x"), "a greater one may follow");

        let mut play = Play::new();
        assert!(play.says("b", "leader", 5, 1, "x"));
        assert!(play.says("a", "follower", 4, 1, "x"));
        assert!(!play.says("a", "leader", 5, 1, "x"), "it became leader after b");
        assert!(play.says("a", "leader", 6, 1, "x"));
    }
}
