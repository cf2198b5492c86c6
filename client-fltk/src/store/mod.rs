//! What a device keeps: one SQLite database per profile, written by one thread.
//!
//! The store knows no rules. It writes the rows that a run of [`Delta`]s has touched, from the model that has taken them
//! in, and the cursor with them in one transaction: whatever moment a process ends at, what is found afterwards is the
//! model as it was after some run, whole. Every commit is flushed (`synchronous=FULL`), since delivered marks and write
//! numbers are promises to others that it is here.
//!
//! `schema` has the tables; `touched` works out which rows a delta changes; `rows` writes and reads them.

mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod touched;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use wire::chat::item::Token;

use crate::limits::{BUSY_MS, TAIL_MESSAGES};
use crate::link::{Address, Link, Pin};
use crate::model::{Delta, Message, Model};
use touched::Touched;

/// Why a profile's database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer program has written it.
    #[error("this profile was written by a newer version of this program (form {found}, known is {known})")]
    Newer {
        /// Its form.
        found: u32,
        /// The newest known form.
        known: u32,
    },
    /// Something in it cannot be.
    #[error("the profile's database is damaged: {0}; move it away and log in again, nothing that was sent is lost")]
    Damaged(&'static str),
    /// SQLite says no.
    #[error("the profile's database does not work: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Who this device is, and with what it proves that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Id of the cluster; empty before the first contact.
    pub cluster: String,
    /// How the cluster is known again; none on loopback without TLS.
    pub pin: Option<Pin>,
    /// Device id; 0: none.
    pub device: u64,
    /// What to resume with.
    pub token: Option<Token>,
}

/// The database of one profile.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    identity: Identity,
}

impl Store {
    /// Opens or makes a database, and reads what it holds: the newest messages of each conversation and all that is not
    /// messages.
    ///
    /// # Errors
    /// The file cannot be used, is newer than this program, or damaged.
    pub fn open(path: &Path) -> Result<(Self, Model), StoreError> {
        Self::begin(Connection::open(path)?)
    }

    /// In memory, for programs that keep nothing.
    ///
    /// # Errors
    /// SQLite has no memory.
    pub fn in_memory() -> Result<(Self, Model), StoreError> {
        Self::begin(Connection::open_in_memory()?)
    }

    fn begin(mut connection: Connection) -> Result<(Self, Model), StoreError> {
        connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
        // An in-memory database answers `memory`; that is as good.
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "secure_delete", true)?;
        let found = schema::migrate(&mut connection)?;
        if found > schema::VERSION {
            return Err(StoreError::Newer { found, known: schema::VERSION });
        }
        let identity = rows::identity(&connection)?;
        let model = rows::model(&connection)?;
        Ok((Self { connection, identity }, model))
    }

    /// Who this device is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Keeps who this device is. On disk when it returns: a token that was handed out makes the one before it worthless.
    ///
    /// # Errors
    /// The disk says no; the old identity stays.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), StoreError> {
        self.connection.execute(
            "UPDATE identity SET cluster = ?1, pin = ?2, device = ?3, token = ?4",
            params![
                identity.cluster,
                identity.pin.map(|pin| pin.to_string()),
                rows::integer(identity.device),
                identity.token.map(|token| token.0),
            ],
        )?;
        self.identity = identity;
        Ok(())
    }

    /// Where the cluster was last: the address that worked first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn addresses(&self) -> Result<Vec<Address>, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT address FROM addresses ORDER BY place")?;
        let texts = query.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// The link by which this profile finds its cluster; `None` before the first contact.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn link(&self) -> Result<Option<Link>, StoreError> {
        let addresses = self.addresses()?;
        Ok((!addresses.is_empty()).then_some(Link { addresses, pin: self.identity.pin }))
    }

    /// Keeps where the cluster is, instead of what was kept before.
    ///
    /// # Errors
    /// The disk says no; the old ones stay.
    pub fn set_addresses<'a>(&mut self, addresses: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM addresses", [])?;
        for (place, address) in (0_i64..).zip(addresses) {
            transaction.execute("INSERT INTO addresses VALUES (?1, ?2)", params![place, address])?;
        }
        Ok(transaction.commit()?)
    }

    /// Writes what `deltas` have changed, as it stands in `model`, which has taken them in. On disk when it returns.
    ///
    /// # Errors
    /// The disk says no; then nothing of it was written, and the model is ahead of the disk.
    pub fn commit(&mut self, deltas: &[Delta], model: &Model) -> Result<(), StoreError> {
        let touched = Touched::by(deltas);
        if touched.is_nothing() {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        rows::write(&transaction, &touched, model)?;
        Ok(transaction.commit()?)
    }

    /// Messages of a conversation on disk below `before` (0: from the newest on), newest first, up to `limit`. Deleted
    /// ones are among them.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn messages_before(&self, conversation: u64, before: u64, limit: usize) -> Result<Vec<Message>, StoreError> {
        Ok(rows::messages_before(&self.connection, conversation, before, limit)?)
    }

    /// A setting.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Keeps a setting.
    ///
    /// # Errors
    /// The disk says no.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.connection.execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", [name, value])?;
        Ok(())
    }
}

const _: () = assert!(TAIL_MESSAGES > 0, "a conversation opens with something in it");
