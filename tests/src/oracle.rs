//! What clients were told, held against what every node has on disk.
//!
//! The nodes have to be stopped; their databases are read directly, so that no code under test stands between the oracle
//! and the bytes. Checked is, on each node:
//!
//! * each acknowledged message is there, once; each refused one is not; one of unknown outcome at most once;
//! * the numbers of a conversation are 1, 2, 3, ... and each message names its own writer and sequence;
//! * the order of a conversation respects real time: who was told before the other began comes first;
//! * a writer who did not wait for answers finds its messages in the order in which it sent them;
//! * each message whose deletion was acknowledged is deleted, and no other, unless its deletion was tried;
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

/// The texts of a conversation that are not deleted, oldest first, on a node that may run.
///
/// # Panics
/// When its database cannot be read.
pub fn stored_texts(node: &Node, legacy_id: &str) -> Vec<String> {
    let path = node.dir.join("state.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a node has a state database");
    let sql = "SELECT text FROM messages JOIN conversations ON conversations.id = conversation
               WHERE legacy_id = ?1 AND deleted = 0 ORDER BY number";
    let mut statement = db.prepare(sql).expect("its tables are those of this version");
    let texts = statement.query_map([legacy_id], |row| row.get(0)).expect("it can be read");
    texts.collect::<Result<_, _>>().expect("it can be read")
}

/// The oldest and the newest entry in the log of a node that runs, stands still or is dead.
pub fn log_ends(dir: &Path) -> Option<(u64, u64)> {
    let log = Connection::open_with_flags(dir.join("log.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let ends = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
    let (oldest, newest) =
        log.query_row("SELECT (SELECT min(idx) FROM entry), (SELECT max(idx) FROM entry)", [], ends).ok()?;
    Some((u64::try_from(oldest?).ok()?, u64::try_from(newest?).ok()?))
}

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

impl Told {
    /// What the answer to a write says.
    pub fn by<T>(answer: &Call<T>) -> Self {
        match answer {
            Ok(_) => Told::Stored,
            Err(CallError::Io(_)) => Told::Unknown,
            // The server says so when a write was handed to a leader that then fell silent.
            Err(CallError::Refused(text)) if text.contains("may or may not") => Told::Unknown,
            Err(CallError::Refused(_)) => Told::Refused,
        }
    }
}

/// Which message of a writer this is; its numbers rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Who writes, on one connection at a time.
    pub writer: usize,
    /// In the order of sending.
    pub number: u64,
}

/// One attempt to send a message.
#[derive(Debug, Clone)]
struct Attempt {
    began: Instant,
    ended: Instant,
    told: Told,
    turn: Option<Turn>,
}

/// What was tried to delete one message.
#[derive(Debug, Clone, Default)]
struct Deletion {
    text: String,
    /// Somebody was told that it is deleted.
    done: bool,
    /// Attempts that were not refused for certain, or not yet.
    possible: usize,
}

/// Everything clients tried, by text. Texts are unique.
#[derive(Debug, Default)]
pub struct Ledger {
    attempts: Mutex<HashMap<String, Attempt>>,
    /// By message id.
    deletions: Mutex<BTreeMap<i64, Deletion>>,
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
        self.keep(text, Attempt { began, ended: now(), told: Told::by(&result), turn: None });
        result
    }

    /// Keeps what came of a message of a writer who sends on without waiting for answers. To be called at the answer.
    ///
    /// # Panics
    /// When the text was used before.
    pub fn note(&self, text: &str, turn: Turn, began: Instant, told: Told) {
        self.keep(text, Attempt { began, ended: now(), told, turn: Some(turn) });
    }

    fn keep(&self, text: &str, attempt: Attempt) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(attempts.insert(text.into(), attempt).is_none(), "texts are unique");
    }

    /// Somebody is about to delete these messages, named by id and text.
    pub fn deletion_begins(&self, messages: &[(i64, &str)]) {
        let mut deletions = self.deletions.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, text) in messages {
            let deletion = deletions.entry(*id).or_default();
            deletion.text = (*text).into();
            deletion.possible += 1;
        }
    }

    /// What came of it.
    pub fn deletion_ends(&self, messages: &[(i64, &str)], told: Told) {
        let mut deletions = self.deletions.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, _) in messages {
            let deletion = deletions.entry(*id).or_default();
            match told {
                Told::Stored => deletion.done = true,
                Told::Refused => deletion.possible = deletion.possible.saturating_sub(1),
                Told::Unknown => {}
            }
        }
    }

    /// Whether a message may be deleted by now.
    pub fn may_be_deleted(&self, id: i64) -> bool {
        let deletions = self.deletions.lock().unwrap_or_else(PoisonError::into_inner);
        deletions.get(&id).is_some_and(|deletion| deletion.possible > 0)
    }

    /// How many messages are deleted for certain.
    pub fn deleted(&self) -> usize {
        let deletions = self.deletions.lock().unwrap_or_else(PoisonError::into_inner);
        deletions.values().filter(|deletion| deletion.done).count()
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
        let deletions = self.deletions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut replicas: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), Replica::read(&node.dir))).collect();
        for (name, replica) in &mut replicas {
            replica.check_shape(name);
            replica.check_deletions(name, &deletions);
            replica.check_against(name, &attempts);
            replica.check_writers(name, &attempts);
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

/// Moves everything that a stopped node has in the write-ahead log of a database into the database.
///
/// # Panics
/// When the database cannot be written.
pub fn fold(database: &Path) {
    let folded = Connection::open(database)
        .and_then(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
    assert_eq!(folded, Ok(0), "{} cannot be folded", database.display());
}

/// One row of the messages table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: i64,
    conversation: i64,
    number: i64,
    sender: i64,
    deleted: bool,
    /// Device, epoch, sequence.
    write: (i64, i64, i64),
    /// Empty once deleted.
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
                "SELECT conversation, number, sender, deleted, device, epoch, seq, text, id FROM messages
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
                    id: row.get(8)?,
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

    /// Gives the deleted ones their texts back, so that all further checks see them.
    fn check_deletions(&mut self, name: &str, deletions: &BTreeMap<i64, Deletion>) {
        for row in &mut self.messages {
            let deletion = deletions.get(&row.id);
            if row.deleted {
                let possible = deletion.is_some_and(|deletion| deletion.possible > 0);
                assert!(possible, "{name}: message {} was deleted, which nobody may have done", row.id);
                assert!(row.text.is_empty(), "{name}: the text of message {} outlives it", row.id);
                row.text = deletion.map(|deletion| deletion.text.clone()).unwrap_or_default();
            } else {
                let done = deletion.is_some_and(|deletion| deletion.done);
                assert!(!done, "{name}: `{}` is still there, but its deletion was acknowledged", row.text);
            }
        }
    }

    /// Each writer's acknowledged messages are in the order of their numbers.
    fn check_writers(&self, name: &str, attempts: &HashMap<String, Attempt>) {
        let mut latest: HashMap<(i64, usize), u64> = HashMap::new();
        for row in &self.messages {
            let stored = attempts.get(&row.text).filter(|attempt| attempt.told == Told::Stored);
            let Some(Turn { writer, number }) = stored.and_then(|attempt| attempt.turn) else { continue };
            if let Some(before) = latest.insert((row.conversation, writer), number) {
                assert!(before < number, "{name}: `{}` comes behind number {before} of the same writer", row.text);
            }
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

/// Every account that ever was, each with whether it lives, from the database of a stopped node.
///
/// # Panics
/// When there is no readable database.
pub fn accounts(dir: &Path) -> Vec<(String, bool)> {
    let read = || -> rusqlite::Result<_> {
        let database = Connection::open_with_flags(dir.join("state.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut users = database.prepare("SELECT name, deleted_ms IS NULL FROM users")?;
        users.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    read().expect("a stopped node leaves a readable database")
}

/// A message as a node holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where.
    pub conversation: u64,
    /// Its number there.
    pub number: u64,
    /// User id of who sent it.
    pub sender: u64,
    /// Empty once deleted.
    pub text: String,
}

/// Every message in the database of a stopped node, by conversation and number.
///
/// # Panics
/// When there is no readable database.
pub fn messages(dir: &Path) -> Vec<Held> {
    let natural = |number: i64| u64::try_from(number).expect("ids and numbers are positive");
    let rows = Replica::read(dir).messages.into_iter();
    rows.map(|row| Held {
        conversation: natural(row.conversation),
        number: natural(row.number),
        sender: natural(row.sender),
        text: row.text,
    })
    .collect()
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
                id: number,
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
            .map(|(i, (text, told))| {
                let (began, ended) = (at(2 * i), at(2 * i + 1));
                ((*text).into(), Attempt { began, ended, told: *told, turn: None })
            })
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

    #[test]
    fn the_oracle_sees_deletions_nobody_made_and_those_that_did_not_happen() {
        let check = |deleted: bool, tried: &[Told]| {
            let mut replica = replica(&["a", if deleted { "" } else { "b" }]);
            replica.messages[1].deleted = deleted;
            let ledger = Ledger::default();
            for told in tried {
                ledger.deletion_begins(&[(2, "b")]);
                ledger.deletion_ends(&[(2, "b")], *told);
            }
            let deletions = ledger.deletions.into_inner().unwrap();
            catch_unwind(AssertUnwindSafe(|| {
                replica.check_deletions("n", &deletions);
                assert_eq!(replica.messages[1].text, "b");
            }))
            .is_ok()
        };
        use Told::{Refused, Stored, Unknown};
        assert!(check(false, &[]) && !check(true, &[]));
        assert!(!check(false, &[Stored]) && check(true, &[Stored]));
        assert!(check(false, &[Refused]) && !check(true, &[Refused]));
        assert!(check(false, &[Unknown]) && check(true, &[Unknown]));
        assert!(!check(false, &[Refused, Stored]) && check(true, &[Refused, Unknown]));
    }

    #[test]
    fn the_oracle_sees_what_a_writer_without_patience_sent_in_another_order() {
        let check = |numbers: [u64; 2], writers: [usize; 2]| {
            let mut attempts = attempts(&[("a", Told::Stored), ("b", Told::Stored)]);
            for ((text, number), writer) in ["a", "b"].into_iter().zip(numbers).zip(writers) {
                attempts.get_mut(text).unwrap().turn = Some(Turn { writer, number });
            }
            catch_unwind(AssertUnwindSafe(|| replica(&["a", "b"]).check_writers("n", &attempts))).is_ok()
        };
        assert!(check([1, 2], [0, 0]));
        assert!(!check([2, 1], [0, 0]));
        assert!(check([2, 1], [0, 1]));
    }
}
