//! People and their accounts.

use rusqlite::{OptionalExtension, Row};

use super::{QueryError, StateReader};
use crate::chat::search::Pattern;
use crate::storage::rows::{sql, u64_at};

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

    /// Live accounts whose user name fits `pattern`, in byte order of the names: `count` of them behind the first `skip`,
    /// and how many there are in all. `exclude` is left out.
    ///
    /// # Errors
    /// SQLite's.
    pub fn people(
        &self,
        pattern: &Pattern,
        exclude: Option<u64>,
        skip: u64,
        count: usize,
    ) -> Result<(Vec<Person>, u64), QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, name, nickname, deleted_ms IS NULL FROM users WHERE deleted_ms IS NULL ORDER BY name",
        )?;
        let mut rows = statement.query([])?;
        let (mut page, mut total) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            if !pattern.matches(name) || exclude == Some(u64_at(row, 0)?) {
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

/// Reads id, name, nickname and whether it lives, from column `at` on.
pub(super) fn person_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Person> {
    Ok(Person {
        user: u64_at(row, at)?,
        username: row.get(at + 1)?,
        nickname: row.get(at + 2)?,
        live: row.get(at + 3)?,
    })
}
