//! What the members tell each other when they connect, so that nobody who has forgotten a promise goes on as if nothing
//! had happened.
//!
//! Each side says which process it is, how far its log goes, and what it remembers of the other. Whoever has less than it
//! has promised, or speaks under an identity that another process has used, ends with the [`Verdict`], before it has
//! answered anything over that link. `docs/adr/0017-members-remember-each-others-promises.md` says what this notices and
//! what it cannot.
//!
//! A vote is given before its consequences can be seen. So a node that has just started votes, and stands for election,
//! only after every other voter has told what it remembers, or after
//! [`INTRODUCTION_PATIENCE`]. One whose data directory is another one than before waits without end: for all
//! of them, or for a leader that was elected without it and from which it has everything committed. And while another's log
//! goes farther than its own it votes only for who has as much: promises are written down once a second, so that after a loss
//! of power nobody may remember the last of them.
//!
//! Acknowledging needs no such wait. Whoever leads was elected by votes that were in order, so it has what is committed,
//! and an entry that it is acknowledged is really on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{oneshot, watch};
use wire::replication::encode;
use wire::replication::entry::{LogId, Member};
use wire::replication::rpc::{Hello, Life, Remembered};

use super::log_store::RaftLog;
use crate::chat::apply::rule_level;
use crate::env::Clock;
use crate::limits::{FAREWELL, INTRODUCTION_PATIENCE};
use crate::quic::lives::{Acquaintance, Standing};
use crate::storage::log::{LOST, LogStore, Value, place};
use crate::storage::promises::{Known, Promises};

/// Why this node must end, once that is known. Clones share it; the first reason stays.
#[derive(Debug, Clone)]
pub struct Verdict(Arc<watch::Sender<Option<String>>>);

impl Default for Verdict {
    fn default() -> Self {
        Verdict(Arc::new(watch::Sender::new(None)))
    }
}

impl Verdict {
    /// This node must end.
    pub fn pass(&self, reason: String) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(reason, "this server stops");
                *first = Some(reason);
            }
            is_first
        });
    }

    /// The reason, if there is one.
    pub fn reason(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Whether this node must end.
    pub fn is_passed(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns once it must.
    pub async fn passed(&self) -> String {
        let mut reason = self.0.subscribe();
        let passed = reason.wait_for(Option::is_some).await.expect("the sender is in self");
        passed.clone().expect("that was waited for")
    }
}

/// This node among the others. Cheap to clone.
#[derive(Clone)]
pub struct Introductions(Arc<Inner>);

struct Inner {
    node: u64,
    name: String,
    life: Life,
    trusted: bool,
    store: LogStore,
    log: RaftLog,
    promises: Promises,
    verdict: Verdict,
    started: Instant,
    /// `log.db` is another file than before.
    is_copy: bool,
    state: Mutex<Doubts>,
    rules_in_force: AtomicU16,
}

#[derive(Default)]
struct Doubts {
    members: Vec<(Member, bool)>,
    /// Members that have told what they remember.
    heard: BTreeSet<u64>,
    /// End of the log that goes farthest of those they have told of.
    farthest: Option<LogId>,
    /// Nothing is waited for any more.
    settled: bool,
    /// Members whose processes are not listened to, and why.
    troubles: BTreeMap<u64, String>,
}

impl Doubts {
    /// A member has told what it has and remembers.
    fn hear(&mut self, hello: &Hello) {
        self.heard.insert(hello.node);
        self.farthest = self.farthest.max(hello.end);
    }
}

impl Debug for Introductions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introductions").field("life", &self.0.life).finish_non_exhaustive()
    }
}

impl Introductions {
    /// Of the node that has this log open. `trusted`: its operator says that the directory counts.
    pub fn new(node: u64, name: String, store: LogStore, log: RaftLog, members: Vec<Member>, trusted: bool) -> Self {
        let doubts =
            Doubts { members: members.into_iter().map(|member| (member, true)).collect(), ..Doubts::default() };
        let is_copy = store.is_copy() && !trusted;
        if store.is_copy() {
            tracing::warn!(trusted, "the data directory was moved, or is a copy");
        }
        if trusted {
            tracing::warn!("started with --trust-data: what this server lacks of its promises is given up");
        }
        Introductions(Arc::new(Inner {
            node,
            name,
            life: store.life(),
            trusted,
            promises: store.promises().clone(),
            verdict: log.verdict().clone(),
            store,
            log,
            started: Clock.monotonic(),
            is_copy,
            state: Mutex::new(doubts),
            rules_in_force: AtomicU16::new(rule_level()),
        }))
    }

    /// This node.
    pub fn node(&self) -> u64 {
        self.0.node
    }

    /// Why this node must end, once that is known.
    pub fn verdict(&self) -> &Verdict {
        &self.0.verdict
    }

    /// What is remembered of the others.
    pub fn promises(&self) -> &Promises {
        &self.0.promises
    }

    /// Returns once this node must end, and the others have had a moment to see why.
    pub async fn fallen(&self) -> String {
        let reason = self.0.verdict.passed().await;
        tokio::time::sleep(FAREWELL).await;
        reason
    }

    /// Who belongs to the cluster now, each with whether it votes.
    pub fn set_members(&self, members: &[(Member, bool)]) {
        self.lock().members = members.to_vec();
        self.weigh_rules();
    }

    /// The newest rule level that every voter can apply, as last looked at.
    pub fn rules_in_force(&self) -> u16 {
        self.0.rules_in_force.load(Ordering::Relaxed)
    }

    fn weigh_rules(&self) {
        let voters: Vec<u64> =
            self.lock().members.iter().filter(|(_, voter)| *voter).map(|(member, _)| member.id).collect();
        let level = self.rule_level(voters);
        if self.0.rules_in_force.swap(level, Ordering::Relaxed) != level {
            tracing::info!(level, newest = rule_level(), "rules that every voter knows");
        }
    }

    /// Why a member is not listened to.
    pub fn trouble(&self, member: u64) -> Option<String> {
        self.lock().troubles.get(&member).cloned()
    }

    /// Says why a member cannot be relied on; `None` for no reason any more.
    pub fn set_trouble(&self, member: u64, trouble: Option<String>) {
        let mut doubts = self.lock();
        match trouble {
            Some(trouble) => drop(doubts.troubles.insert(member, trouble)),
            None => drop(doubts.troubles.remove(&member)),
        }
    }

    /// Whether this node may vote, among these voters, for a candidate whose log ends at `end`; itself for example.
    ///
    /// A copy that has heard from all of them may still lack what nobody remembers: promises are written down once a second.
    /// But whatever was promised and became committed is in the log of one of the others. So until it has caught up it votes
    /// only for who has as much as any of them.
    pub fn may_vote(&self, voters: impl IntoIterator<Item = u64>, end: Option<LogId>) -> bool {
        if self.0.verdict.is_passed() {
            return false;
        }
        let mut doubts = self.lock();
        if !doubts.settled {
            let all = voters.into_iter().all(|voter| voter == self.0.node || doubts.heard.contains(&voter));
            let late = !self.0.is_copy && self.0.started.elapsed() >= INTRODUCTION_PATIENCE;
            if late || all && !self.lacks(&doubts) {
                self.settle(&mut doubts);
            } else if all {
                return end >= doubts.farthest;
            }
        }
        doubts.settled
    }

    /// Whether this is a copy, and another member's log goes farther.
    fn lacks(&self, doubts: &Doubts) -> bool {
        self.0.is_copy && self.0.log.end() < doubts.farthest
    }

    /// Whether a leader's log, as far as an append shows it, lacks what is committed here: this node must then end.
    pub fn is_contradicted(&self, leader: u64, prev: Option<LogId>, commit: Option<LogId>) -> bool {
        self.0.log.is_contradicted(leader, commit)
            // What comes before the entries need not be committed.
            || prev.is_some_and(|prev| {
                self.0.log.committed_index().is_some_and(|committed| prev.index <= committed)
                    && self.0.log.is_contradicted(leader, Some(prev))
            })
    }

    /// A leader has been answered: `leader_commit` is what it calls committed in its own term, and the log goes at least as
    /// far. Nothing that was promised before can be missing.
    pub fn caught_up(&self, term: u64, leader_commit: Option<LogId>) {
        if !self.0.is_copy || leader_commit.is_none_or(|commit| commit.term != term || self.0.log.end() < Some(commit))
        {
            return;
        }
        let mut doubts = self.lock();
        if !doubts.settled {
            self.settle(&mut doubts);
        }
    }

    fn settle(&self, doubts: &mut Doubts) {
        doubts.settled = true;
        if self.0.store.is_copy() {
            tracing::info!("this data directory has everything that this server has promised, as far as anybody knows");
            self.0.store.settle(Box::new(|settled| {
                if let Err(error) = settled {
                    tracing::warn!(%error, "cannot remember that; the next start asks again");
                }
            }));
        }
    }

    /// For a person: who has to confirm that this node may vote.
    pub fn waits_for(&self) -> Option<String> {
        let doubts = self.lock();
        if !self.0.is_copy || doubts.settled {
            return None;
        }
        let away = doubts
            .members
            .iter()
            .filter(|(member, voter)| *voter && member.id != self.0.node && !doubts.heard.contains(&member.id));
        let away: Vec<String> = away.map(|(member, _)| format!("{} ({})", member.name, member.address)).collect();
        if away.is_empty() {
            return self.lacks(&doubts).then(|| {
                "this data directory was moved here, or is a copy, and another server has more than it. Until this server has \
                 caught up it votes only for one that has as much: start all of them. If the one with more is gone for good and \
                 this is the newest data of this server, start it once with --trust-data"
                    .to_owned()
            });
        }
        Some(format!(
            "this data directory was moved here, or is a copy. This server votes again once it has heard that it lacks \
             nothing of what it has promised, from {}: start what of these is down. If one of them is gone for good and \
             this is the newest data of this server, start it once with --trust-data",
            away.join(" and ")
        ))
    }

    fn name_of(&self, node: u64) -> String {
        let doubts = self.lock();
        let member = doubts.members.iter().find(|(member, _)| member.id == node);
        member.map_or_else(|| format!("{node:016x}"), |(member, _)| member.name.clone())
    }

    /// The newest rule level that all of these can apply.
    pub fn rule_level(&self, voters: impl IntoIterator<Item = u64>) -> u16 {
        let level = |voter| if voter == self.0.node { rule_level() } else { self.level_of(voter) };
        voters.into_iter().map(level).min().unwrap_or_else(rule_level)
    }

    /// The newest rule level that a member's process can apply, as it last said.
    pub fn level_of(&self, member: u64) -> u16 {
        self.0.promises.known(member).map_or(RULE_LEVEL_UNTOLD, |known| known.rule_level)
    }

    /// Holds what another remembers of this node against this process. False if this node must end.
    fn stands_before(&self, hello: &Hello) -> bool {
        let (mine, Some(Remembered { life, promised })) = (self.0.life, hello.remembered) else { return true };
        if life == mine || self.0.trusted {
            return true;
        }
        let end = self.0.log.end();
        let newer = life.incarnation >= mine.incarnation;
        if !newer && promised <= end {
            return true;
        }
        let other = self.name_of(hello.node);
        let found = if newer {
            format!(
                "this server has run since from newer files, or from another copy of these: {other} has met its start {}, and \
                 from these files this is start {}",
                life.incarnation, mine.incarnation
            )
        } else {
            format!("its log ends at {}, and {other} holds its acknowledgement of {}", place(&end), place(&promised))
        };
        self.0.verdict.pass(format!(
            "this data directory is older than what this server has promised: {found}. Was it restored from a copy? \
             Messages may be missing that people were told are stored. Nothing was changed. Put the newest data directory of \
             {} back; if this is the newest there is, {LOST}",
            self.0.name
        ));
        false
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Doubts> {
        self.0.state.lock().expect("nobody panics while holding this lock")
    }
}

/// The rule level of releases that did not remember levels: that of the last of them.
const RULE_LEVEL_UNTOLD: u16 = 4;

impl Acquaintance for Introductions {
    fn hello(&self, to: u64) -> Hello {
        let known = self.0.promises.known(to);
        Hello {
            node: self.0.node,
            rule_level: rule_level(),
            life: self.0.life,
            end: self.0.log.end(),
            remembered: known.map(|known| Remembered { life: known.life, promised: known.promised }),
            trusted: self.0.trusted,
        }
    }

    fn judge(&self, hello: &Hello, address: SocketAddr) -> Standing {
        if self.0.verdict.is_passed() || !self.stands_before(hello) {
            return Standing::Fallen;
        }
        let standing = match self.0.promises.known(hello.node) {
            None => Standing::New,
            Some(known) if known.life == hello.life => Standing::Known,
            Some(_) if hello.trusted => Standing::New,
            Some(known) if hello.life.incarnation <= known.life.incarnation || hello.end < known.promised => {
                let name = self.name_of(hello.node);
                let found = if hello.life.incarnation <= known.life.incarnation {
                    "it has run since from newer files, or from another copy of them".to_owned()
                } else {
                    format!("its log ends at {}, and it has acknowledged {}", place(&hello.end), place(&known.promised))
                };
                let trouble = format!(
                    "its data directory is older than what it has promised: {found}. It is not listened to. Put its newest data \
                     directory back there; if that is lost, remove it with `node members remove {:016x}` and let its machine \
                     join as a new one",
                    hello.node
                );
                if self.trouble(hello.node).as_ref() != Some(&trouble) {
                    let peer = format_args!("{:016x}", hello.node);
                    tracing::error!(peer, server = name, %address, trouble, "a server is not listened to");
                    self.set_trouble(hello.node, Some(trouble));
                }
                return Standing::Fallen;
            }
            Some(_) => Standing::New,
        };
        if standing == Standing::Known {
            self.lock().hear(hello);
        }
        standing
    }

    fn note<'a>(&'a self, hello: &'a Hello) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let before = self.0.promises.known(hello.node).filter(|_| !hello.trusted);
            // Two log ends that are compared later must not be of an unnoticed younger history.
            let promised = before.and_then(|known| known.promised);
            let known = Known { life: hello.life, promised, rule_level: hello.rule_level };
            let mut jobs = vec![(Value::Promises, self.0.promises.introduce(hello.node, known))];
            if let Some(remembered) = hello.remembered
                && remembered.life.incarnation > self.0.life.incarnation
            {
                // Trusted in spite of it: the next start counts on from there.
                jobs.push((Value::Life, encode(&remembered.life)));
            }
            for (value, bytes) in jobs {
                let (done, flushed) = oneshot::channel();
                self.0.store.put(
                    value,
                    bytes,
                    Box::new(move |result| {
                        let _ = done.send(result.is_ok());
                    }),
                );
                if !flushed.await.unwrap_or(false) {
                    return false;
                }
            }
            {
                let mut doubts = self.lock();
                doubts.hear(hello);
                doubts.troubles.remove(&hello.node);
            }
            self.weigh_rules();
            true
        })
    }

    fn cloned(&self, hello: &Hello, first: SocketAddr, second: SocketAddr) {
        let name = self.name_of(hello.node);
        let trouble = format!(
            "two servers use its identity: the first answers at {first}, the second came from {second} and is not \
             listened to. Was its data directory copied? Stop the copy"
        );
        if self.trouble(hello.node).as_ref() != Some(&trouble) {
            tracing::error!(
                peer = format_args!("{:016x}", hello.node),
                server = name,
                trouble,
                "a server is there twice"
            );
            self.set_trouble(hello.node, Some(trouble));
        }
    }

    fn is_clone(&self, said_by: u64, first: SocketAddr) {
        let (name, other) = (&self.0.name, self.name_of(said_by));
        self.0.verdict.pass(format!(
            "another server uses this identity now: {other} is connected to {name} at {first}. Was this data directory \
             copied? Two servers must never run from one directory and its copy. Let that one run; for a further server \
             start with an empty data directory and a line that `node join-code` prints"
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::storage::trouble::Alarm;

    const VOTERS: [u64; 3] = [1, 2, 3];

    fn at(index: u64) -> Option<LogId> {
        Some(LogId { term: 4, node: 2, index })
    }

    fn hello(node: u64, end: Option<LogId>) -> Hello {
        let life = Life { incarnation: 3, id: [u8::try_from(node).unwrap(); 16] };
        Hello { node, rule_level: rule_level(), life, end, remembered: None, trusted: false }
    }

    /// Node 1, started from a copy of its directory whose log is empty.
    async fn copied(directory: &Path) -> Introductions {
        let [original, copy] = ["original", "copy"].map(|name| directory.join(name));
        fs::create_dir(&original).unwrap();
        fs::create_dir(&copy).unwrap();
        let first = LogStore::open(&original.join("log.db"), Alarm::default()).unwrap();
        let (done, flushed) = oneshot::channel();
        let stored = move |result: Result<_, _>| done.send(result.is_ok()).unwrap();
        first.put(Value::Committed, Vec::new(), Box::new(stored));
        assert!(flushed.await.unwrap());
        for file in fs::read_dir(&original).unwrap().map(|file| file.unwrap()) {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let store = LogStore::open(&copy.join("log.db"), Alarm::default()).unwrap();
        assert!(store.is_copy());
        let member = |id| Member { id, address: format!("h:{id}"), name: format!("n{id}") };
        let log = RaftLog::open(store.clone(), 1).unwrap();
        Introductions::new(1, "n1".into(), store, log, VOTERS.map(member).into(), false)
    }

    #[tokio::test]
    async fn a_copy_votes_for_nobody_who_may_lack_what_it_promised() {
        let directory = tempfile::tempdir().unwrap();
        let node = copied(directory.path()).await;
        assert!(!node.may_vote(VOTERS, at(9)), "nobody has told anything");
        // Nobody remembers what this node has promised: it was not written down in time.
        assert!(node.note(&hello(2, at(9))).await);
        assert!(!node.may_vote(VOTERS, at(9)) && node.waits_for().is_some_and(|text| text.contains("n3 (h:3)")));
        assert!(node.note(&hello(3, at(5))).await);
        assert!(node.may_vote(VOTERS, at(9)));
        assert!(!node.may_vote(VOTERS, at(5)) && !node.may_vote(VOTERS, None), "node 2 has more");
        assert!(node.waits_for().is_some_and(|text| text.contains("another server has more")));
        // A copy that lacks nothing of what the others have is as good as any.
        let elsewhere = tempfile::tempdir().unwrap();
        let whole = copied(elsewhere.path()).await;
        assert!(whole.note(&hello(2, None)).await && whole.note(&hello(3, None)).await);
        assert!(whole.may_vote(VOTERS, None) && whole.waits_for().is_none());
    }
}
