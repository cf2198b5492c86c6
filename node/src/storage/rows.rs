//! Lookups that the writing transaction and the readers share, and how values stand in SQLite's columns.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;

use crate::chat::state::{Conversation, Standing, User};

/// A u64 as SQLite stores it: the same 64 bits.
pub(super) fn sql(value: u64) -> i64 {
    value.cast_signed()
}

/// Reads a u64 column.
pub(super) fn u64_at(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// Reads a column that holds a versioned replication value, or NULL.
pub(super) fn optional_blob<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?
        .as_blob_or_null()?
        .map(|bytes| wire::replication::decode(bytes).map_err(|error| damaged(column, error)))
        .transpose()
}

/// Reads a column that holds plain postcard.
pub(super) fn postcard_at<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    postcard::from_bytes(row.get_ref(column)?.as_blob()?).map_err(|error| damaged(column, error))
}

pub(super) fn damaged(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

pub(super) fn user(connection: &Connection, id: u64) -> rusqlite::Result<Option<User>> {
    connection
        .prepare_cached("SELECT name, deleted_ms IS NULL, view_limit FROM users WHERE id = ?1")?
        .query_row([sql(id)], |row| Ok(User { name: row.get(0)?, live: row.get(1)?, view_limit: row.get(2)? }))
        .optional()
}

pub(super) fn user_named(connection: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT id FROM users WHERE name = ?1 AND deleted_ms IS NULL")?
        .query_row([name], |row| u64_at(row, 0))
        .optional()
}

/// The one live account that is found by a key.
pub(super) fn user_folded(connection: &Connection, fold: &str) -> rusqlite::Result<Option<u64>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM users WHERE fold = ?1 AND deleted_ms IS NULL LIMIT 2")?;
    let found = statement.query_map([fold], |row| u64_at(row, 0))?.collect::<rusqlite::Result<Vec<u64>>>()?;
    match found[..] {
        [one] => Ok(Some(one)),
        _ => Ok(None),
    }
}

/// The live account of that name, or else the only one that is found by its key.
pub(super) fn user_found(connection: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    match user_named(connection, name)? {
        Some(user) => Ok(Some(user)),
        None => user_folded(connection, &wire::names::found_by(name)),
    }
}

/// A conversation and its last message number.
pub(super) fn conversation(connection: &Connection, id: u64) -> rusqlite::Result<Option<(Conversation, u64)>> {
    let found = connection
        .prepare_cached("SELECT legacy_id, last_number, changed FROM conversations WHERE id = ?1")?
        .query_row([sql(id)], |row| Ok((row.get(0)?, u64_at(row, 1)?, u64_at(row, 2)?)))
        .optional()?;
    let Some((legacy_id, last_number, changed)) = found else { return Ok(None) };
    let mut members = connection
        .prepare_cached("SELECT user FROM members WHERE conversation = ?1")?
        .query_map([sql(id)], |row| u64_at(row, 0))?
        .collect::<rusqlite::Result<Vec<u64>>>()?;
    members.sort_unstable();
    Ok(Some((Conversation { legacy_id, members, changed }, last_number)))
}

pub(super) fn direct(connection: &Connection, one: u64, other: u64) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT id FROM conversations WHERE low = ?1 AND high = ?2")?
        .query_row(params![sql(one.min(other)), sql(one.max(other))], |row| u64_at(row, 0))
        .optional()
}

pub(super) fn labelled(connection: &Connection, legacy_id: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT id FROM conversations WHERE legacy_id = ?1")?
        .query_row([legacy_id], |row| u64_at(row, 0))
        .optional()
}

/// How far a member has come; `None` for somebody else.
pub(super) fn standing(connection: &Connection, conversation: u64, user: u64) -> rusqlite::Result<Option<Standing>> {
    connection
        .prepare_cached("SELECT delivered_mark, read_mark, cleared FROM members WHERE conversation = ?1 AND user = ?2")?
        .query_row(params![sql(conversation), sql(user)], |row| {
            Ok(Standing { delivered: u64_at(row, 0)?, read: u64_at(row, 1)?, cleared: u64_at(row, 2)? })
        })
        .optional()
}

/// Everybody who is in a conversation with a user, the user included, by rising id.
pub(super) fn acquaintances(connection: &Connection, user: u64) -> rusqlite::Result<Vec<u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT others.user FROM members AS own JOIN members AS others ON others.conversation = own.conversation
         WHERE own.user = ?1 UNION SELECT ?1",
    )?;
    let found = statement.query_map([sql(user)], |row| u64_at(row, 0))?;
    let mut users = found.collect::<rusqlite::Result<Vec<u64>>>()?;
    users.sort_unstable();
    Ok(users)
}
