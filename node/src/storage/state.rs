//! `state.db`: the chat state together with the place in the log it stands for.
//!
//! One connection writes, owned by the apply thread. What an entry changes, that it is applied, and the chained hash
//! are in one transaction, so after any crash the state is that of some applied index, exactly. Which one is on disk
//! for sure is known after a [checkpoint](super::state_copy::Checkpointer) only; the log is purged below that and
//! nowhere else.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use wire::replication::entry::{Entry, LogId, Membership, Payload};

use super::checkpoints::Checkpoints;
use super::hashes::{Hashes, Place};
use super::removals::{Observer, Removals};
use super::schema;
use super::state_copy;
use super::state_tx::{Progress, Tx};
use super::sweep::Sweep;
use super::transaction::Transaction;
use super::trouble::Alarm;
use crate::chat::apply::{self, EntryError};
use crate::chat::effect::{Applied, Effects, Listener};

pub use super::schema::OpenError;
pub use super::state_copy::{Checkpointer, CopyError, CopyInfo, copy_to};
pub use crate::chat::apply::AppliedEntry;

/// Why entries could not be applied. The state is as before the call; the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// SQLite failed.
    #[error("the state database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// An entry may not be applied.
    #[error("log entry {index} cannot be applied: {reason}")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        reason: EntryError<std::convert::Infallible>,
    },
    /// An entry was applied before.
    #[error("log entry {got} follows applied entry {applied:?}")]
    OutOfOrder {
        /// Index of the last applied entry.
        applied: Option<u64>,
        /// Index of the entry at hand.
        got: u64,
    },
}

/// The chat state.
#[derive(Debug)]
pub struct StateDb {
    connection: Connection,
    path: PathBuf,
    progress: Progress,
    removals: Removals,
    observer: Option<Observer>,
    listener: Option<Listener>,
    checkpoints: Option<Checkpoints>,
    hashes: Hashes,
    sweep: Sweep,
}

impl StateDb {
    /// Opens the database, makes it if it is not there, and brings an older format forward.
    ///
    /// # Errors
    /// It is damaged, newer, foreign, or not accessible.
    pub fn open(path: &Path) -> Result<StateDb, OpenError> {
        let connection = schema::open_writer(path)?;
        state_copy::begin_anew(&connection).map_err(|error| OpenError::from_sqlite(path, error))?;
        schema::check_structure(path, &connection)?;
        schema::give_back(&connection);
        StateDb::around(connection, path.to_owned()).map_err(|error| OpenError::from_sqlite(path, error))
    }

    fn around(connection: Connection, path: PathBuf) -> rusqlite::Result<StateDb> {
        let progress = Progress::load_or_begin(&connection)?;
        let removals = Removals::load(&connection, &progress.membership)?;
        let hashes = Hashes::default();
        hashes.replaced(place(&progress));
        Ok(StateDb {
            connection,
            path,
            progress,
            removals,
            observer: None,
            listener: None,
            checkpoints: None,
            hashes,
            sweep: Sweep::new(),
        })
    }

    /// Keeps the write-ahead log short from now on, with a thread of its own. Its failures are told to `alarm`.
    ///
    /// # Errors
    /// No thread could be started, or SQLite said no.
    pub fn keep_log_short(&mut self, alarm: Alarm) -> io::Result<()> {
        let mover = state_copy::open_beside(&self.path).map_err(io::Error::other)?;
        self.checkpoints =
            Some(Checkpoints::start("state-checkpoint", "state.db", &mut self.connection, mover, alarm)?);
        Ok(())
    }

    /// A state that is gone with its owner.
    #[cfg(test)]
    pub(crate) fn in_memory() -> StateDb {
        let path = PathBuf::from(":memory:");
        let mut connection = Connection::open_in_memory().unwrap();
        schema::prepare_writer(&path, &mut connection).unwrap();
        StateDb::around(connection, path).unwrap()
    }

    /// When the newest message was stored, by the clock of the leader of that time.
    ///
    /// # Errors
    /// SQLite said no.
    pub fn newest_message_ms(&self) -> Result<Option<u64>, OpenError> {
        let newest = self
            .connection
            .query_row("SELECT time_ms FROM messages ORDER BY id DESC LIMIT 1", [], |row| super::rows::u64_at(row, 0));
        newest
            .map(Some)
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(None),
                error => Err(error),
            })
            .map_err(|error| OpenError::from_sqlite(&self.path, error))
    }

    /// The last applied entry.
    pub fn applied(&self) -> Option<LogId> {
        self.progress.applied
    }

    /// The last applied members, and the entry that named them.
    pub fn membership(&self) -> (Option<LogId>, Membership) {
        (self.progress.membership_log_id, self.progress.membership.clone())
    }

    /// The chained hash of everything applied: equal at equal index on every replica.
    pub fn state_hash(&self) -> [u8; 32] {
        self.progress.state_hash
    }

    /// Hashes to compare with those of other replicas, from now on.
    pub fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    /// Who was shut out of the cluster.
    pub fn removals(&self) -> &Removals {
        &self.removals
    }

    /// Tells `observer` who was shut out, now and whenever that or the members change. It is called by whoever applies
    /// and must be quick.
    pub fn observe_removals(&mut self, observer: impl Fn(&Removals) + Send + 'static) {
        observer(&self.removals);
        self.observer = Some(Observer(Box::new(observer)));
    }

    /// Tells `listener` from now on what sessions have to know of what is applied and installed.
    pub fn tell(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// Applies entries in one transaction: all of them or none.
    ///
    /// # Errors
    /// An entry is out of order, follows unknown rules or is undecodable, or SQLite failed.
    pub fn apply<'e>(&mut self, entries: impl IntoIterator<Item = Entry<'e>>) -> Result<Vec<AppliedEntry>, ApplyError> {
        let present = self.listener.as_ref().map(|listener| listener.audience.present()).unwrap_or_default();
        let mut effects = Effects::new(present.clone());
        let transaction = Transaction::begin(&mut self.connection)?;
        let mut tx = Tx::new(&transaction, self.progress.clone());
        let (mut applied, mut kept) = (Vec::new(), Vec::new());
        for entry in entries {
            applied.push(apply_one(&mut tx, &entry, &mut effects)?);
            kept.extend(place(&tx.progress).filter(|(index, _)| Hashes::is_kept(*index)));
        }
        let (removals, deleted) = (tx.removals, tx.deleted);
        let progress = tx.finish()?;
        transaction.commit()?;
        self.sweep.worked();
        if deleted {
            self.sweep.stir();
        }
        let members = progress.membership_log_id != self.progress.membership_log_id;
        self.progress = progress;
        self.hashes.applied(kept, place(&self.progress));
        if removals || members {
            self.reload_removals()?;
        }
        if let Some(Listener { audience, tell }) = &self.listener {
            let effects = effects.into_vec();
            if !effects.is_empty() {
                tell(Applied::Effects(effects));
            }
            // Who came later than this reads what is committed by now.
            let missed = audience.present().since(&present);
            if !missed.is_empty() {
                tell(Applied::Missed(missed));
            }
        }
        Ok(applied)
    }

    /// Keeps the write-ahead log short. To be called after [`StateDb::apply`], when nobody waits for what it gave.
    ///
    /// # Errors
    /// SQLite failed.
    pub fn tend(&self) -> Result<(), ApplyError> {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.tend(&self.connection)?;
        }
        Ok(())
    }

    /// Until [`StateDb::sweep`] should be called, if nothing else is to be done; `None` when there is nothing to sweep.
    pub fn sweep_due(&self) -> Option<Duration> {
        self.sweep.wait()
    }

    /// Cuts deleted texts off the write-ahead log, or gives it up because the storage has failed.
    ///
    /// # Errors
    /// SQLite failed.
    pub fn sweep(&mut self, goes_on: bool) -> Result<(), ApplyError> {
        if !goes_on {
            self.sweep = Sweep::idle();
            return Ok(());
        }
        Ok(self.sweep.step(&self.connection)?)
    }

    /// Makes everything applied durable and returns how far that is. Prefer a [`Checkpointer`] on another thread; what
    /// it leaves over is little, and this call, between two applies, is the one that can finish it.
    ///
    /// # Errors
    /// SQLite or the disk failed.
    pub fn checkpoint(&mut self) -> Result<Option<LogId>, CopyError> {
        state_copy::checkpoint(&self.connection, &self.path)?;
        Ok(self.progress.applied)
    }

    /// Replaces the whole content with that of a copy made by [`copy_to`]: verified before, in one transaction, durable
    /// after. Readers on other connections go on; they see the old content until it is done.
    ///
    /// # Errors
    /// The copy is damaged, newer or unreadable (the content is then unchanged), or the disk failed.
    pub fn install(&mut self, copy: &Path) -> Result<(), CopyError> {
        state_copy::check(copy).map_err(CopyError::Unusable)?;
        self.install_checked(copy)
    }

    /// As [`StateDb::install`], for a copy that was verified already.
    ///
    /// # Errors
    /// As there.
    pub fn install_checked(&mut self, copy: &Path) -> Result<(), CopyError> {
        state_copy::install(&mut self.connection, &self.path, copy)?;
        self.progress = Progress::load_or_begin(&self.connection).map_err(CopyError::Sqlite)?;
        self.hashes.replaced(place(&self.progress));
        self.reload_removals().map_err(CopyError::Sqlite)?;
        self.sweep.stir();
        if let Some(listener) = &self.listener {
            (listener.tell)(Applied::Replaced);
        }
        state_copy::checkpoint(&self.connection, &self.path)
    }

    fn reload_removals(&mut self) -> rusqlite::Result<()> {
        self.removals = Removals::load(&self.connection, &self.progress.membership)?;
        if let Some(Observer(observer)) = &self.observer {
            observer(&self.removals);
        }
        Ok(())
    }
}

fn place(progress: &Progress) -> Option<Place> {
    progress.applied.map(|applied| (applied.index, progress.state_hash))
}

fn apply_one(tx: &mut Tx<'_>, entry: &Entry<'_>, effects: &mut Effects) -> Result<AppliedEntry, ApplyError> {
    let index = entry.log_id.index;
    let last = tx.progress.applied.map(|last| last.index);
    // Not "the next": openraft's conformance suite leaves gaps. That the log has none is asserted where it is read.
    if last.is_some_and(|last| index <= last) {
        return Err(ApplyError::OutOfOrder { applied: last, got: index });
    }
    let mut hash = tx.progress.state_hash;
    let applied = apply::apply_entry(tx, &mut hash, entry, effects).map_err(|error| match error {
        EntryError::Storage(error) => ApplyError::Sqlite(error),
        EntryError::RuleLevel { got } => ApplyError::Entry { index, reason: EntryError::RuleLevel { got } },
        EntryError::Batch(error) => ApplyError::Entry { index, reason: EntryError::Batch(error) },
    })?;
    tx.progress.state_hash = hash;
    tx.progress.applied = Some(entry.log_id);
    if let Payload::Membership(membership) = &entry.payload {
        tx.progress.membership_log_id = Some(entry.log_id);
        tx.progress.membership = membership.clone();
    }
    Ok(applied)
}

#[cfg(test)]
mod tests;
