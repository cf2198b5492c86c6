//! Who could be taken for whom: nicknames are free, so two people may have one, or one that is somebody's user name.
//!
//! This is the one place that decides which nicknames are shown with the user name behind them. It compares everybody whom this
//! device has met and who still has an account.

use std::collections::{BTreeMap, BTreeSet};

use wire::names::{found_by, looks_like};

/// The keys of everybody's names, kept up to date by [`super::Model`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Namesakes {
    users: BTreeMap<String, BTreeSet<u64>>,
    keys: BTreeMap<u64, Vec<String>>,
}

impl Namesakes {
    /// Somebody is called so from now on.
    pub(super) fn note(&mut self, user: u64, username: &str, nickname: &str) {
        self.forget(user);
        let keys: Vec<_> = keys_of(username).into_iter().chain(keys_of(nickname)).collect();
        for key in &keys {
            self.users.entry(key.clone()).or_default().insert(user);
        }
        self.keys.insert(user, keys);
    }

    /// Nobody is taken for them any more.
    pub(super) fn forget(&mut self, user: u64) {
        for key in self.keys.remove(&user).unwrap_or_default() {
            if let Some(users) = self.users.get_mut(&key) {
                users.remove(&user);
                if users.is_empty() {
                    self.users.remove(&key);
                }
            }
        }
    }

    /// Whether a nickname of `user` is, or looks like, a name or nickname of somebody else.
    pub(super) fn is_shared(&self, user: u64, nickname: &str) -> bool {
        // Those of people who were met are at hand.
        let is_others =
            |key: &String| self.users.get(key).is_some_and(|users| users.iter().any(|&other| other != user));
        match self.keys.get(&user) {
            Some(keys) => keys[keys.len() / 2..].iter().any(is_others),
            None => keys_of(nickname).iter().any(is_others),
        }
    }
}

fn keys_of(name: &str) -> [String; 2] {
    [found_by(name), looks_like(name)]
}
