//! The tables `devices` and `device_tokens`.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{sql, u64_at};
use crate::chat::state::{Device, Token, TokenRole};

/// A role as it stands in its column.
pub(super) const fn role_to_sql(role: TokenRole) -> i64 {
    match role {
        TokenRole::Current => 0,
        TokenRole::Pending => 1,
        TokenRole::Retired => 2,
        TokenRole::Life => 3,
    }
}

pub(super) fn role_from_sql(column: usize, role: i64) -> rusqlite::Result<TokenRole> {
    match role {
        0 => Ok(TokenRole::Current),
        1 => Ok(TokenRole::Pending),
        2 => Ok(TokenRole::Retired),
        3 => Ok(TokenRole::Life),
        other => {
            let error = format!("{other} is no role of a token");
            Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, error.into()))
        }
    }
}

pub(super) fn device(connection: &Connection, id: u64) -> rusqlite::Result<Option<Device>> {
    connection
        .prepare_cached("SELECT user, revoked_ms IS NULL FROM devices WHERE id = ?1")?
        .query_row([sql(id)], |row| Ok(Device { user: u64_at(row, 0)?, live: row.get(1)? }))
        .optional()
}

/// A user's devices that are logged in, the one that has been silent longest first.
pub(super) fn live_devices(connection: &Connection, user: u64) -> rusqlite::Result<Vec<u64>> {
    connection
        .prepare_cached("SELECT id FROM devices WHERE user = ?1 AND revoked_ms IS NULL ORDER BY seen_ms, id")?
        .query_map([sql(user)], |row| u64_at(row, 0))?
        .collect()
}

/// A user's devices that are logged out, without the newest `kept`, oldest logout first, at most `at_once`.
pub(super) fn long_revoked_devices(
    connection: &Connection,
    user: u64,
    kept: usize,
    at_once: usize,
) -> rusqlite::Result<Vec<u64>> {
    let revoked: i64 = connection
        .prepare_cached("SELECT count(*) FROM devices WHERE user = ?1 AND revoked_ms IS NOT NULL")?
        .query_row([sql(user)], |row| row.get(0))?;
    let too_many = revoked.saturating_sub(kept as i64).clamp(0, at_once as i64);
    connection
        .prepare_cached(
            "SELECT id FROM devices WHERE user = ?1 AND revoked_ms IS NOT NULL ORDER BY revoked_ms, id LIMIT ?2",
        )?
        .query_map(params![sql(user), too_many], |row| u64_at(row, 0))?
        .collect()
}

/// By rising rank.
pub(super) fn tokens(connection: &Connection, device: u64) -> rusqlite::Result<Vec<Token>> {
    connection
        .prepare_cached("SELECT hash, role, rank FROM device_tokens WHERE device = ?1 ORDER BY rank")?
        .query_map([sql(device)], |row| {
            Ok(Token { hash: row.get(0)?, role: role_from_sql(1, row.get(1)?)?, rank: u64_at(row, 2)? })
        })?
        .collect()
}

pub(super) fn is_token(connection: &Connection, hash: &[u8; 32]) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM device_tokens WHERE hash = ?1")?.exists([hash])
}

pub(super) fn set_token(
    connection: &Connection,
    device: u64,
    hash: &[u8; 32],
    role: TokenRole,
    rank: u64,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO device_tokens (hash, device, role, rank) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (hash) DO UPDATE SET role = ?3, rank = ?4",
        )?
        .execute(params![hash, sql(device), role_to_sql(role), sql(rank)])
}
