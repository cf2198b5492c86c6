//! People and their accounts.

use rusqlite::{OptionalExtension, Row};
use wire::names::Pattern;

use super::{QueryError, StateReader};
use crate::storage::name_keys;
use crate::storage::rows::{self, sql, u64_at};

/// Somebody who has, or had, an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Id.
    pub user: u64,
    /// The name it has or had.
    pub username: String,
    /// What they call themselves.
    pub nickname: String,
    /// False once the account is deleted.
    pub live: bool,
}

/// What somebody sees of the own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Id.
    pub user: u64,
    /// Its name.
    pub username: String,
    /// Its nickname.
    pub nickname: String,
    /// How many unread messages one request hands over.
    pub view_limit: u32,
}

impl StateReader {
    /// The person of that id, deleted or not.
    ///
    /// # Errors
    /// SQLite's.
    pub fn person(&self, user: u64) -> Result<Option<Person>, QueryError> {
        Ok(self
            .connection
            .prepare_cached("SELECT id, name, nickname, deleted_ms IS NULL FROM users WHERE id = ?1")?
            .query_row([sql(user)], |row| person_at(row, 0))
            .optional()?)
    }

    /// The live account of that name, without what is needed to log in.
    ///
    /// # Errors
    /// SQLite's.
    pub fn person_named(&self, username: &str) -> Result<Option<Person>, QueryError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT id, name, nickname, deleted_ms IS NULL FROM users WHERE name = ?1 AND deleted_ms IS NULL",
            )?
            .query_row([username], |row| person_at(row, 0))
            .optional()?)
    }

    /// The live account of that name, or else the only one that is found by its key: its id and its name to the letter.
    ///
    /// # Errors
    /// SQLite's.
    pub fn found(&self, username: &str) -> Result<Option<(u64, String)>, QueryError> {
        let Some(user) = rows::user_found(&self.connection, username)? else { return Ok(None) };
        Ok(rows::user(&self.connection, user)?.map(|account| (user, account.name)))
    }

    /// Live accounts whose user name or nickname fits `pattern`, in byte order of the user names: `count` of them behind the
    /// first `skip`, and how many there are in all.
    ///
    /// # Errors
    /// SQLite's.
    pub fn people(&self, pattern: &Pattern, skip: u64, count: usize) -> Result<(Vec<Person>, u64), QueryError> {
        let mut statement = self.connection.prepare_cached(SEARCHED)?;
        let mut rows = statement.query([])?;
        let (mut page, mut total) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            if !fits(pattern, row)? {
                continue;
            }
            if total >= skip && page.len() < count {
                page.push(person_at(row, 0)?);
            }
            total += 1;
        }
        Ok((page, total))
    }

    /// A live account as its owner sees it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn profile(&self, user: u64) -> Result<Option<Profile>, QueryError> {
        Ok(self
            .connection
            .prepare_cached("SELECT name, nickname, view_limit FROM users WHERE id = ?1 AND deleted_ms IS NULL")?
            .query_row([sql(user)], |row| {
                Ok(Profile { user, username: row.get(0)?, nickname: row.get(1)?, view_limit: row.get(2)? })
            })
            .optional()?)
    }
}

/// Everybody in the order of names, from the index alone.
pub(in crate::storage) const SEARCHED: &str = "SELECT id, name, nickname, 1, search, nickname_search FROM users
    INDEXED BY users_searched WHERE deleted_ms IS NULL ORDER BY name";

/// Whether a row of [`SEARCHED`] is somebody who is looked for.
pub(super) fn fits(pattern: &Pattern, row: &Row<'_>) -> rusqlite::Result<bool> {
    let (name, nickname) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
    let (search, nickname_search) = (row.get_ref(4)?.as_str_or_null()?, row.get_ref(5)?.as_str_or_null()?);
    Ok(name_keys::fits(pattern, (search, name), (nickname_search, nickname)))
}

/// Reads id, name, nickname and whether it lives, from column `at` on.
pub(super) fn person_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Person> {
    Ok(Person {
        user: u64_at(row, at)?,
        username: row.get(at + 1)?,
        nickname: row.get(at + 2)?,
        live: row.get(at + 3)?,
    })
}
