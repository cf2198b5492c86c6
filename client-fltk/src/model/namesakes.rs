//! Who could be taken for whom: nicknames are free, so two people may have one, or one that is somebody's user name.
//!
//! This is the one place that decides which nicknames are shown with the user name behind them. It compares everybody whom this
//! device has met and who still has an account.

use std::collections::{BTreeMap, BTreeSet};

use wire::names::{found_by, looks_like};

use super::{NOTES, Person};

/// The keys of everybody's names, kept up to date by [`super::Model`], so that none is made while something is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Namesakes {
    /// Owners of each key, those who are gone left out.
    users: BTreeMap<String, BTreeSet<u64>>,
    /// Keys of each user's names, first those of the user name.
    keys: BTreeMap<u64, [String; 4]>,
}

/// Owner of the names that the program itself gives; no user has this id.
const PROGRAM: u64 = 0;

impl Default for Namesakes {
    fn default() -> Self {
        let mut namesakes = Self { users: BTreeMap::new(), keys: BTreeMap::new() };
        namesakes.note(PROGRAM, NOTES, NOTES);
        namesakes
    }
}

impl Namesakes {
    /// Somebody is called so from now on.
    pub(super) fn note(&mut self, user: u64, username: &str, nickname: &str) {
        self.leave(user);
        let keys = [found_by(username), looks_like(username), found_by(nickname), looks_like(nickname)];
        for key in &keys {
            self.users.entry(key.clone()).or_default().insert(user);
        }
        self.keys.insert(user, keys);
    }

    /// As [`Namesakes::note`], and who is gone leaves.
    pub(super) fn person(&mut self, person: &Person) {
        self.note(person.user, &person.username, &person.nickname);
        if person.gone {
            self.leave(person.user);
        }
    }

    /// Nobody is taken for them any more. They may still pass for somebody else.
    pub(super) fn leave(&mut self, user: u64) {
        for key in self.keys.get(&user).into_iter().flatten() {
            if let Some(users) = self.users.get_mut(key) {
                users.remove(&user);
                if users.is_empty() {
                    self.users.remove(key);
                }
            }
        }
    }

    /// Everybody who has a name or nickname of that key.
    pub(super) fn of(&self, key: &str) -> impl Iterator<Item = u64> {
        self.users.get(key).into_iter().flatten().copied()
    }

    /// Whether the nickname of `user` is, or looks like, a name or nickname of somebody else.
    pub(super) fn is_shared(&self, user: u64) -> bool {
        let nickname = self.keys.get(&user).map_or(&[][..], |keys| &keys[2..]);
        nickname.iter().any(|key| self.of(key).any(|other| other != user))
    }
}
