//! What this node remembers of the other members: their latest process, and what they have promised to have on disk.
//!
//! A follower promises an entry by acknowledging its append, a leader by calling it committed. A member whose data
//! directory was replaced by an older copy has forgotten its promises, and the others have not: they tell it when it
//! connects ([`crate::raft::introductions`]).
//!
//! Every promise is noted in memory at once. The log thread writes them down with one flush in
//! [`FLUSHES_PER_COMMITTED`](crate::limits::FLUSHES_PER_COMMITTED) and within
//! [`HINTS_PAUSE`](crate::limits::HINTS_PAUSE), so that no write waits for it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use wire::replication::entry::LogId;
use wire::replication::rpc::Life;
use wire::replication::{decode, encode};

/// What is remembered of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its latest process.
    pub life: Life,
    /// The last entry that it has promised to have on disk.
    pub promised: Option<LogId>,
    /// The newest rule level that this process can apply.
    pub rule_level: u16,
}

/// The members and their promises. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Promises(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    known: BTreeMap<u64, Known>,
    /// Something is not on disk yet.
    changed: bool,
}

impl Book {
    fn bytes(&mut self) -> Vec<u8> {
        self.changed = false;
        let rows: Vec<(u64, Known)> = self.known.iter().map(|(&node, &known)| (node, known)).collect();
        encode(&rows)
    }
}

impl Promises {
    /// As they were written down.
    ///
    /// # Errors
    /// They do not decode.
    pub(super) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let rows: Vec<(u64, Known)> = decode(bytes).map_err(io::Error::other)?;
        Ok(Promises(Arc::new(Mutex::new(Book { known: rows.into_iter().collect(), changed: false }))))
    }

    /// What is remembered of a member.
    pub fn known(&self, node: u64) -> Option<Known> {
        self.lock().known.get(&node).copied()
    }

    /// A member has promised to have everything up to `upto` on disk.
    pub fn promised(&self, node: u64, upto: LogId) {
        let mut book = self.lock();
        if let Some(known) = book.known.get_mut(&node)
            && known.promised < Some(upto)
        {
            known.promised = Some(upto);
            book.changed = true;
        }
    }

    /// Takes note of a member's process and returns everything, to be written down.
    pub fn introduce(&self, node: u64, known: Known) -> Vec<u8> {
        let mut book = self.lock();
        book.known.insert(node, known);
        book.bytes()
    }

    /// Forgets everybody else.
    pub fn retain(&self, keep: impl Fn(u64) -> bool) {
        let mut book = self.lock();
        let before = book.known.len();
        book.known.retain(|&node, _| keep(node));
        book.changed |= book.known.len() != before;
    }

    /// Everything, if any of it is not written down yet. The caller writes it.
    pub fn take_changed(&self) -> Option<Vec<u8>> {
        let mut book = self.lock();
        book.changed.then(|| book.bytes())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(term: u64, index: u64) -> LogId {
        LogId { term, node: 1, index }
    }

    #[test]
    fn promises_only_grow_and_are_written_once() {
        let promises = Promises::default();
        promises.promised(7, at(1, 5));
        assert_eq!(promises.known(7), None, "nobody promises before it has introduced itself");
        let life = Life { incarnation: 1, id: [1; 16] };
        let bytes = promises.introduce(7, Known { life, promised: None, rule_level: 4 });
        assert_eq!(promises.take_changed(), None);
        assert_eq!(Promises::from_bytes(&bytes).unwrap().known(7), promises.known(7));
        promises.promised(7, at(2, 9));
        promises.promised(7, at(1, 50));
        let bytes = promises.take_changed().unwrap();
        assert_eq!(promises.take_changed(), None);
        let read = Promises::from_bytes(&bytes).unwrap();
        assert_eq!(read.known(7).unwrap().promised, Some(at(2, 9)));
        promises.retain(|node| node != 7);
        assert!(promises.take_changed().is_some());
        assert_eq!(promises.known(7), None);
        Promises::from_bytes(b"\x01\xff").unwrap_err();
    }
}
