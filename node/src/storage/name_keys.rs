//! The keys of names in `users`.
//!
//! They come with the commands. Rows from before names had keys get theirs when the database is brought forward, on each node
//! by itself: all nodes of a cluster take that step with one release, whose tables are pinned
//! (`docs/adr/0023-a-name-carries-its-keys-through-the-log.md`).

use rusqlite::{Connection, params};
use wire::names::{Keys, Pattern, search_key};

use super::rows;

/// The step of the migrations behind which rows have keys.
pub(super) const SINCE_VERSION: u32 = 6;

pub(super) fn set(
    connection: &Connection,
    id: u64,
    (fold, skeleton, search): (&str, &str, &str),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE users SET fold = ?2, skeleton = ?3, search = ?4 WHERE id = ?1")?
        .execute(params![rows::sql(id), fold, skeleton, search])?;
    Ok(())
}

pub(super) fn set_nickname(connection: &Connection, id: u64, search: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE users SET nickname_search = ?2 WHERE id = ?1")?
        .execute(params![rows::sql(id), search])?;
    Ok(())
}

/// Whether somebody has a name of one of these keys, or had it until after `since_ms`.
pub(super) fn is_held(
    connection: &Connection,
    (fold, skeleton): (&str, &str),
    since_ms: i64,
) -> rusqlite::Result<bool> {
    // Two queries, for each has its index.
    let held = |column: &str, key: &str| {
        connection
            .prepare_cached(&format!(
                "SELECT 1 FROM users WHERE {column} = ?1 AND (deleted_ms IS NULL OR deleted_ms > ?2 OR deleted_ms < 0)"
            ))?
            .exists(params![key, since_ms])
    };
    Ok(held("fold", fold)? || held("skeleton", skeleton)?)
}

/// Whether somebody is found: by the user name or by the nickname. What has no key yet is given one here.
pub(super) fn fits(pattern: &Pattern, (search, name): Keyed<'_>, (nickname_search, nickname): Keyed<'_>) -> bool {
    let fits = |key: Option<&str>, text: &str| match key {
        Some(key) => pattern.matches_key(key),
        None => pattern.matches(text),
    };
    fits(search, name) || fits(nickname_search, nickname)
}

/// A name behind its key.
type Keyed<'a> = (Option<&'a str>, &'a str);

/// Gives every row its keys.
pub(super) fn make_all(connection: &Connection) -> rusqlite::Result<()> {
    let mut all = connection.prepare("SELECT id, name, nickname FROM users")?;
    let named = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    // Read before the first is written: a row may move in what is being read.
    let named: Vec<(i64, String, String)> = named.collect::<rusqlite::Result<_>>()?;
    for (id, name, nickname) in named {
        let keys = Keys::of(&name);
        connection
            .prepare_cached(
                "UPDATE users SET fold = ?2, skeleton = ?3, search = ?4, nickname_search = ?5 WHERE id = ?1",
            )?
            .execute(params![id, keys.fold, keys.skeleton, keys.search, search_key(&nickname)])?;
    }
    Ok(())
}
