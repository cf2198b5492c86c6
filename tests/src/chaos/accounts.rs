//! What clients were told of accounts, held against what every node has.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cluster::Node;
use crate::oracle::{Told, accounts};

/// Accounts that clients tried to make, and to delete again. No name is used twice.
#[derive(Debug, Default)]
pub struct Accounts {
    told: Mutex<BTreeMap<String, (Told, Option<Told>)>>,
}

impl Accounts {
    /// What came of making one.
    pub fn made(&self, name: &str, told: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), (told, None));
    }

    /// What came of deleting one.
    pub fn deleted(&self, name: &str, told: Told) {
        if let Some(account) = self.told.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            account.1 = Some(told);
        }
    }

    /// How many were tried.
    pub fn count(&self) -> usize {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Checks the database of every node; all of them are stopped.
    ///
    /// # Panics
    /// With what is wrong, if anything is.
    pub fn check(&self, nodes: &[Node]) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes {
            let mut rows: BTreeMap<String, Vec<bool>> = BTreeMap::new();
            for (name, live) in accounts(&node.dir) {
                rows.entry(name).or_default().push(live);
            }
            for (name, (made, deleted)) in told.iter() {
                let rows = rows.get(name).map_or(&[][..], Vec::as_slice);
                assert!(
                    agrees(rows, *made, *deleted),
                    "{}: {name} has rows {rows:?} (live or not), but was told of making it: {made:?}, of deleting it: \
                     {deleted:?}",
                    node.name
                );
            }
        }
    }
}

/// Whether the rows of one name, each with whether it lives, are what its owner was told.
fn agrees(rows: &[bool], made: Told, deleted: Option<Told>) -> bool {
    match (made, rows) {
        (Told::Refused | Told::Unknown, []) => true,
        (Told::Refused, _) | (Told::Stored, []) => false,
        (_, [live]) => match deleted {
            None | Some(Told::Refused) => *live,
            Some(Told::Stored) => !*live,
            Some(Told::Unknown) => true,
        },
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_held_against_what_was_told() {
        use Told::{Refused, Stored, Unknown};
        for (rows, made, deleted, expected) in [
            (&[true][..], Stored, None, true),
            (&[], Stored, None, false),
            (&[true, false], Stored, None, false),
            (&[false], Stored, None, false),
            (&[false], Stored, Some(Stored), true),
            (&[true], Stored, Some(Stored), false),
            (&[true], Stored, Some(Refused), true),
            (&[false], Stored, Some(Refused), false),
            (&[true], Stored, Some(Unknown), true),
            (&[false], Stored, Some(Unknown), true),
            (&[], Refused, None, true),
            (&[true], Refused, None, false),
            (&[], Unknown, None, true),
            (&[true], Unknown, None, true),
        ] {
            assert_eq!(agrees(rows, made, deleted), expected, "{rows:?} {made:?} {deleted:?}");
        }
    }
}
