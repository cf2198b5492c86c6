//! The tables of a profile, and the steps from older ones.

use rusqlite::Connection;

/// Steps in their order; a file says in `user_version` how many it has behind it. Only ever appended to.
const STEPS: &[&str] = &["
    CREATE TABLE identity (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        cluster TEXT NOT NULL, pin TEXT, user INTEGER NOT NULL, username TEXT NOT NULL, nickname TEXT NOT NULL,
        view_limit INTEGER NOT NULL, device INTEGER NOT NULL, token BLOB, cursor INTEGER NOT NULL
    ) STRICT;
    INSERT INTO identity VALUES (1, '', NULL, 0, '', '', 0, 0, NULL, 0);
    CREATE TABLE addresses (place INTEGER PRIMARY KEY, address TEXT NOT NULL) STRICT;
    CREATE TABLE people (
        user INTEGER PRIMARY KEY, username TEXT NOT NULL, nickname TEXT NOT NULL, gone INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE conversations (
        conversation INTEGER PRIMARY KEY, last_number INTEGER NOT NULL, cleared INTEGER NOT NULL,
        behind INTEGER NOT NULL, handed INTEGER NOT NULL, read_here INTEGER NOT NULL, unheld INTEGER NOT NULL,
        told INTEGER NOT NULL, preview_number INTEGER, preview_id INTEGER, preview_sender INTEGER,
        preview_time_ms INTEGER, preview_text TEXT
    ) STRICT;
    CREATE TABLE members (
        conversation INTEGER NOT NULL, user INTEGER NOT NULL, delivered INTEGER NOT NULL, read INTEGER NOT NULL,
        PRIMARY KEY (conversation, user)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE messages (
        conversation INTEGER NOT NULL, number INTEGER NOT NULL, id INTEGER NOT NULL, sender INTEGER NOT NULL,
        time_ms INTEGER NOT NULL, text TEXT NOT NULL, deleted INTEGER NOT NULL, seq INTEGER NOT NULL,
        PRIMARY KEY (conversation, number)
    ) STRICT;
    CREATE TABLE spans (
        conversation INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (conversation, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        key INTEGER PRIMARY KEY, seq INTEGER NOT NULL, kind TEXT NOT NULL, conversation INTEGER NOT NULL,
        username TEXT NOT NULL, text TEXT NOT NULL, number INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        state TEXT NOT NULL, stored_conversation INTEGER NOT NULL, stored_number INTEGER NOT NULL,
        code INTEGER NOT NULL, reason TEXT NOT NULL
    ) STRICT;
    CREATE TABLE deletions (
        key INTEGER NOT NULL REFERENCES outbox (key) ON DELETE CASCADE, number INTEGER NOT NULL,
        PRIMARY KEY (key, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE drafts (conversation INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"];

/// How many steps this build knows.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// Brings a database to the newest form, each step whole or not at all. Returns the form that was found.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (step, version) in STEPS.iter().zip(1..).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(found)
}
