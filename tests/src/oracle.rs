//! What clients were told, held against what every node has on disk.
//!
//! The nodes have to be stopped; their databases are read directly, so that no code under test stands between the oracle
//! and the bytes. Checked is, on each node:
//!
//! * each acknowledged message is there, once; each refused one is not; one of unknown outcome at most once;
//! * the numbers of a conversation are 1, 2, 3, ... and each message names its own writer and sequence;
//! * the order of a conversation respects real time: who was told before the other began comes first;
//!
//! and between nodes: the same rows everywhere, and the same hash at the same entry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};

use crate::cluster::Node;
use crate::legacy_client::{Call, CallError};
use crate::now;

/// What a client was told about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Stored.
    Stored,
    /// Not stored, for certain.
    Refused,
    /// Nothing, or that nobody knows.
    Unknown,
}

/// One attempt to send a message.
#[derive(Debug, Clone)]
struct Attempt {
    began: Instant,
    ended: Instant,
    told: Told,
}

/// Everything clients tried, by text. Texts are unique.
#[derive(Debug, Default)]
pub struct Ledger {
    attempts: Mutex<HashMap<String, Attempt>>,
}

impl Ledger {
    /// Sends one message and keeps what came of it.
    ///
    /// # Errors
    /// What `send` says, unchanged.
    ///
    /// # Panics
    /// When the text was used before.
    pub fn record(&self, text: &str, send: impl FnOnce() -> Call<()>) -> Call<()> {
        let began = now();
        let result = send();
        let told = match &result {
            Ok(()) => Told::Stored,
            Err(CallError::Io(_)) => Told::Unknown,
            // The server says so when a write was handed to a leader that then fell silent.
            Err(CallError::Refused(text)) if text.contains("may or may not") => Told::Unknown,
            Err(CallError::Refused(_)) => Told::Refused,
        };
        let attempt = Attempt { began, ended: now(), told };
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(attempts.insert(text.into(), attempt).is_none(), "texts are unique");
        result
    }

    /// How many attempts ended like this.
    pub fn count(&self, told: Told) -> usize {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.values().filter(|attempt| attempt.told == told).count()
    }

    /// When messages were acknowledged, in order.
    pub fn stored_at(&self) -> Vec<Instant> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times: Vec<_> =
            attempts.values().filter(|attempt| attempt.told == Told::Stored).map(|attempt| attempt.ended).collect();
        times.sort();
        times
    }

    /// Checks every node's database against this ledger and against each other.
    ///
    /// # Panics
    /// With what is wrong, if anything is.
    pub fn check(&self, nodes: &[Node]) {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let replicas: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), Replica::read(&node.dir))).collect();
        for (name, replica) in &replicas {
            replica.check_shape(name);
            replica.check_against(name, &attempts);
        }
        for pair in replicas.windows(2) {
            let [(one, a), (other, b)] = pair else { continue };
            assert!(a.messages == b.messages, "{one} and {other} hold different messages");
            if a.applied == b.applied {
                assert_eq!(a.state_hash, b.state_hash, "{one} and {other} differ at the same entry");
            }
        }
    }
}

/// One row of the messages table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    conversation: i64,
    number: i64,
    sender: i64,
    deleted: bool,
    /// Device, epoch, sequence.
    write: (i64, i64, i64),
    text: String,
}

/// What one node has.
struct Replica {
    /// By conversation and number.
    messages: Vec<Row>,
    /// Highest number handed out, by conversation.
    last_numbers: BTreeMap<i64, i64>,
    applied: Option<Vec<u8>>,
    state_hash: Vec<u8>,
}

impl Replica {
    fn read(dir: &Path) -> Self {
        Self::try_read(&dir.join("state.db")).expect("a stopped node leaves a readable database")
    }

    fn try_read(path: &Path) -> rusqlite::Result<Self> {
        // Not read-only: after a kill the write-ahead log has to be recovered.
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        assert_eq!(check, "ok", "{} is damaged", path.display());
        let (applied, state_hash) =
            database.query_row("SELECT applied, state_hash FROM progress", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let messages = database
            .prepare(
                "SELECT conversation, number, sender, deleted, device, epoch, seq, text FROM messages
                 ORDER BY conversation, number",
            )?
            .query_map([], |row| {
                Ok(Row {
                    conversation: row.get(0)?,
                    number: row.get(1)?,
                    sender: row.get(2)?,
                    deleted: row.get(3)?,
                    write: (row.get(4)?, row.get(5)?, row.get(6)?),
                    text: row.get(7)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        let last_numbers = database
            .prepare("SELECT id, last_number FROM conversations")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { messages, last_numbers, applied, state_hash })
    }

    fn check_shape(&self, name: &str) {
        let mut writes = BTreeSet::new();
        let mut next = BTreeMap::new();
        for row in &self.messages {
            let number = next.entry(row.conversation).or_insert(1);
            assert_eq!(row.number, *number, "{name}: numbers of conversation {} have a gap", row.conversation);
            *number += 1;
            assert!(writes.insert(row.write), "{name}: write {:?} was applied twice", row.write);
        }
        for (conversation, last) in &self.last_numbers {
            let stored = next.get(conversation).copied().unwrap_or(1) - 1;
            assert_eq!(stored, *last, "{name}: conversation {conversation} lacks messages");
        }
    }

    fn check_against(&self, name: &str, attempts: &HashMap<String, Attempt>) {
        let mut copies: HashMap<&str, usize> = HashMap::new();
        for row in &self.messages {
            *copies.entry(&row.text).or_default() += 1;
        }
        for (text, attempt) in attempts {
            let copies = copies.get(text.as_str()).copied().unwrap_or(0);
            let fine = match attempt.told {
                Told::Stored => copies == 1,
                Told::Refused => copies == 0,
                Told::Unknown => copies <= 1,
            };
            assert!(fine, "{name} holds `{text}` {copies} times, but its sender was told: {:?}", attempt.told);
        }
        let mut latest: BTreeMap<i64, (Instant, &str)> = BTreeMap::new();
        for row in &self.messages {
            let Some(attempt) = attempts.get(&row.text).filter(|attempt| attempt.told == Told::Stored) else {
                continue;
            };
            let (began, text) = latest.entry(row.conversation).or_insert((attempt.began, &row.text));
            assert!(
                attempt.ended >= *began,
                "{name}: `{}` comes behind `{text}`, which was begun only after it was acknowledged",
                row.text
            );
            if attempt.began > *began {
                (*began, *text) = (attempt.began, &row.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;

    fn replica(texts: &[&str]) -> Replica {
        let messages = (1..)
            .zip(texts)
            .map(|(number, text)| Row {
                conversation: 1,
                number,
                sender: 1,
                deleted: false,
                write: (1, 1, number),
                text: (*text).into(),
            })
            .collect();
        let last = i64::try_from(texts.len()).unwrap();
        Replica { messages, last_numbers: [(1, last)].into(), applied: None, state_hash: Vec::new() }
    }

    /// Attempts one after the other, each begun when the one before was answered.
    fn attempts(told: &[(&str, Told)]) -> HashMap<String, Attempt> {
        let start = now();
        let at = |i: u32| start + Duration::from_millis(u64::from(i));
        (0..)
            .zip(told)
            .map(|(i, (text, told))| ((*text).into(), Attempt { began: at(2 * i), ended: at(2 * i + 1), told: *told }))
            .collect()
    }

    fn verdict(stored: &[&str], told: &[(&str, Told)]) -> bool {
        let (replica, attempts) = (replica(stored), attempts(told));
        catch_unwind(AssertUnwindSafe(|| {
            replica.check_shape("n");
            replica.check_against("n", &attempts);
        }))
        .is_ok()
    }

    #[test]
    fn the_oracle_sees_each_kind_of_lie() {
        use Told::{Refused, Stored, Unknown};
        assert!(verdict(&["a", "b"], &[("a", Stored), ("b", Stored)]));
        assert!(verdict(&["a", "b"], &[("a", Stored), ("b", Unknown)]));
        assert!(verdict(&["a"], &[("a", Stored), ("b", Unknown), ("c", Refused)]));
        assert!(!verdict(&["a"], &[("a", Stored), ("b", Stored)]), "lost");
        assert!(!verdict(&["a", "a"], &[("a", Stored)]), "doubled");
        assert!(!verdict(&["a", "a"], &[("a", Unknown)]), "doubled, though nothing was promised");
        assert!(!verdict(&["a", "b"], &[("a", Stored), ("b", Refused)]), "stored though refused");
        assert!(!verdict(&["b", "a"], &[("a", Stored), ("b", Stored)]), "reordered");
    }

    #[test]
    fn the_oracle_sees_gaps_and_repeated_writes() {
        let check = |change: fn(&mut Replica)| {
            let mut replica = replica(&["a", "b"]);
            change(&mut replica);
            catch_unwind(AssertUnwindSafe(|| replica.check_shape("n"))).is_ok()
        };
        assert!(check(|_| {}));
        assert!(!check(|replica| replica.messages[1].number = 3));
        assert!(!check(|replica| replica.messages[1].write = replica.messages[0].write));
        assert!(!check(|replica| drop(replica.messages.pop())));
    }
}
