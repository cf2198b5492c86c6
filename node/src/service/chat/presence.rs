//! Who is online, over all nodes, and who wants to know. Never stored: nodes tell each other in passing ([`Whisper`]), and
//! what a node has not said again for [`PRESENCE_TTL`] is forgotten, so that a node that dies takes its people with it.
//!
//! Whoever changes the connection is gone for a moment; only who stays away for [`ABSENCE_GRACE`] is told to be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Instant;

use wire::limits::WHISPERED_USERS_MAX;
use wire::replication::rpc::Whisper;

use crate::bridge::ConnId;
use crate::limits::{ABSENCE_GRACE, PRESENCE_REFRESH, PRESENCE_TTL};

/// What is known of everybody's presence.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Sessions of each user here; 0 for those who have just gone.
    local: BTreeMap<u64, u32>,
    /// When those who have just gone are told to be gone.
    leaving: BTreeMap<u64, Instant>,
    /// Who is online at the other nodes.
    remote: BTreeMap<u64, Remote>,
    /// Who wants to know about whom.
    watchers: BTreeMap<u64, BTreeSet<ConnId>>,
    /// When the other nodes are told everybody again.
    refresh_at: Option<Instant>,
    changes: Vec<Change>,
    whispers: Vec<Whisper>,
}

#[derive(Debug)]
struct Remote {
    users: BTreeSet<u64>,
    until: Instant,
}

/// Somebody came or went, as far as watchers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) user: u64,
    pub(super) online: bool,
}

impl Presence {
    /// A session of this user began here.
    pub(super) fn came(&mut self, user: u64, now: Instant) {
        let sessions = self.local.entry(user).or_default();
        *sessions += 1;
        if *sessions > 1 || self.leaving.remove(&user).is_some() {
            return;
        }
        self.refresh_at.get_or_insert(now + PRESENCE_REFRESH);
        self.whispers.push(Whisper::Came { user });
        if !self.is_elsewhere(user) {
            self.changes.push(Change { user, online: true });
        }
    }

    /// A session of this user ended here.
    pub(super) fn left(&mut self, user: u64, now: Instant) {
        let Some(sessions) = self.local.get_mut(&user) else { return };
        *sessions = sessions.saturating_sub(1);
        if *sessions == 0 {
            self.leaving.insert(user, now + ABSENCE_GRACE);
        }
    }

    /// Another node said something about people.
    pub(super) fn heard(&mut self, node: u64, whisper: &Whisper, now: Instant) {
        if let Whisper::Typing { .. } = whisper {
            return;
        }
        let before = self.remote.get(&node).map(|remote| remote.users.clone()).unwrap_or_default();
        let remote = self.remote.entry(node).or_insert(Remote { users: BTreeSet::new(), until: now });
        match whisper {
            Whisper::Everybody { users } => {
                remote.users = users.iter().copied().take(WHISPERED_USERS_MAX).collect();
                remote.until = now + PRESENCE_TTL;
            }
            Whisper::Came { user } => {
                if remote.users.len() < WHISPERED_USERS_MAX {
                    remote.users.insert(*user);
                }
                remote.until = now + PRESENCE_TTL;
            }
            Whisper::Left { user } => {
                remote.users.remove(user);
            }
            Whisper::Typing { .. } => {}
        }
        self.compare(&before, node);
    }

    /// Tells watchers what has changed about a node's people.
    fn compare(&mut self, before: &BTreeSet<u64>, node: u64) {
        let after = self.remote.get(&node).map(|remote| remote.users.clone()).unwrap_or_default();
        for &user in before.symmetric_difference(&after) {
            let others = self.remote.iter().any(|(&other, remote)| other != node && remote.users.contains(&user));
            if !others && !self.local.contains_key(&user) {
                self.changes.push(Change { user, online: after.contains(&user) });
            }
        }
    }

    fn is_elsewhere(&self, user: u64) -> bool {
        self.remote.values().any(|remote| remote.users.contains(&user))
    }

    /// Whether somebody is connected anywhere.
    pub(super) fn is_online(&self, user: u64) -> bool {
        self.local.contains_key(&user) || self.is_elsewhere(user)
    }

    // ---- watching ----

    /// A connection watches `now` instead of `before`.
    pub(super) fn watch(&mut self, conn: ConnId, before: &[u64], now: &[u64]) {
        for user in before {
            if let Some(watchers) = self.watchers.get_mut(user) {
                watchers.remove(&conn);
                if watchers.is_empty() {
                    self.watchers.remove(user);
                }
            }
        }
        for &user in now {
            self.watchers.entry(user).or_default().insert(conn);
        }
    }

    /// Who watches somebody.
    pub(super) fn watchers(&self, user: u64) -> Vec<ConnId> {
        self.watchers.get(&user).map(|watchers| watchers.iter().copied().collect()).unwrap_or_default()
    }

    // ---- what comes of it ----

    /// When [`Presence::due`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let leaving = self.leaving.values().min().copied();
        let forgotten = self.remote.values().filter(|remote| !remote.users.is_empty()).map(|remote| remote.until).min();
        [leaving, forgotten, self.refresh_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn due(&mut self, now: Instant) {
        let gone: Vec<u64> = self.leaving.iter().filter(|(_, at)| **at <= now).map(|(&user, _)| user).collect();
        for user in gone {
            self.leaving.remove(&user);
            self.local.remove(&user);
            self.whispers.push(Whisper::Left { user });
            if !self.is_elsewhere(user) {
                self.changes.push(Change { user, online: false });
            }
        }
        let silent: Vec<u64> =
            self.remote.iter().filter(|(_, remote)| remote.until <= now).map(|(&node, _)| node).collect();
        for node in silent {
            if let Some(remote) = self.remote.remove(&node) {
                self.compare(&remote.users, node);
            }
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = (!self.local.is_empty()).then(|| now + PRESENCE_REFRESH);
            let users = self.local.keys().copied().take(WHISPERED_USERS_MAX).collect();
            self.whispers.push(Whisper::Everybody { users });
        }
    }

    /// What watchers have to be told.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        mem::take(&mut self.changes)
    }

    /// Somebody types; the other nodes shall tell their clients.
    pub(super) fn whisper(&mut self, whisper: Whisper) {
        self.whispers.push(whisper);
    }

    /// What the other nodes have to be told.
    pub(super) fn take_whispers(&mut self) -> Vec<Whisper> {
        mem::take(&mut self.whispers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Clock;

    fn told(presence: &mut Presence) -> Vec<(u64, bool)> {
        presence.take_changes().into_iter().map(|change| (change.user, change.online)).collect()
    }

    #[test]
    fn a_short_absence_is_none() {
        let now = Clock.monotonic();
        let mut presence = Presence::default();
        presence.came(1, now);
        presence.came(1, now);
        assert_eq!(told(&mut presence), [(1, true)]);
        presence.left(1, now);
        presence.left(1, now);
        presence.due(now);
        assert!(presence.is_online(1));
        presence.came(1, now);
        presence.due(now + ABSENCE_GRACE);
        assert_eq!(told(&mut presence), []);

        presence.left(1, now);
        presence.due(now + ABSENCE_GRACE);
        assert_eq!(told(&mut presence), [(1, false)]);
        assert!(!presence.is_online(1));
        assert_eq!(presence.take_whispers(), [Whisper::Came { user: 1 }, Whisper::Left { user: 1 }]);
    }

    #[test]
    fn who_is_connected_anywhere_is_online() {
        let now = Clock.monotonic();
        let mut presence = Presence::default();
        presence.heard(7, &Whisper::Came { user: 1 }, now);
        presence.heard(8, &Whisper::Everybody { users: vec![1, 2] }, now);
        assert_eq!(told(&mut presence), [(1, true), (2, true)]);
        presence.came(1, now);
        presence.heard(7, &Whisper::Left { user: 1 }, now);
        presence.heard(8, &Whisper::Everybody { users: vec![2] }, now);
        assert_eq!(told(&mut presence), []);
        presence.left(1, now);
        presence.due(now + ABSENCE_GRACE);
        assert_eq!(told(&mut presence), [(1, false)]);
    }

    #[test]
    fn a_node_that_falls_silent_takes_its_people_with_it() {
        let now = Clock.monotonic();
        let mut presence = Presence::default();
        presence.heard(7, &Whisper::Everybody { users: vec![1] }, now);
        told(&mut presence);
        assert_eq!(presence.deadline(), Some(now + PRESENCE_TTL));
        presence.due(now + PRESENCE_TTL);
        assert_eq!(told(&mut presence), [(1, false)]);
        assert_eq!(presence.deadline(), None);
    }

    #[test]
    fn the_others_are_told_again_as_long_as_anybody_is_here() {
        let now = Clock.monotonic();
        let mut presence = Presence::default();
        presence.came(1, now);
        presence.take_whispers();
        presence.due(now + PRESENCE_REFRESH);
        assert_eq!(presence.take_whispers(), [Whisper::Everybody { users: vec![1] }]);
        presence.left(1, now);
        presence.due(now + PRESENCE_REFRESH + PRESENCE_REFRESH);
        assert_eq!(presence.take_whispers(), [Whisper::Left { user: 1 }, Whisper::Everybody { users: vec![] }]);
        assert_eq!(presence.deadline(), None);
    }

    #[test]
    fn watchers_are_found_until_they_look_elsewhere() {
        let mut presence = Presence::default();
        let conn = ConnId { slot: 1, generation: 0 };
        presence.watch(conn, &[], &[1, 2]);
        assert_eq!(presence.watchers(2), [conn]);
        presence.watch(conn, &[1, 2], &[1]);
        assert_eq!((presence.watchers(1), presence.watchers(2)), (vec![conn], vec![]));
        presence.watch(conn, &[1], &[]);
        assert!(presence.watchers.is_empty());
    }
}
