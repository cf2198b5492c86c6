//! Where people are logged in, and from where clients may act for them without that.

use rusqlite::{OptionalExtension, Row, params};

use super::{QueryError, StateReader};
use crate::chat::state::TokenRole;
use crate::storage::rows::{sql, u64_at};
use crate::storage::{device_rows, writers};

/// A place where somebody is, or was, logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its id.
    pub device: u64,
    /// Whose.
    pub user: u64,
    /// What it calls itself.
    pub name: String,
    /// It was logged out for good.
    pub revoked: bool,
    /// First login, milliseconds since 1970, UTC.
    pub created_ms: u64,
    /// Last login or resumption.
    pub seen_ms: u64,
}

const COLUMNS: &str = "id, user, name, revoked_ms IS NOT NULL, created_ms, seen_ms";

impl StateReader {
    /// The device of that id, revoked or not.
    ///
    /// # Errors
    /// SQLite's.
    pub fn device(&self, device: u64) -> Result<Option<DeviceInfo>, QueryError> {
        Ok(self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM devices WHERE id = ?1"))?
            .query_row([sql(device)], device_at)
            .optional()?)
    }

    /// A user's devices that are logged in, oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn devices(&self, user: u64) -> Result<Vec<DeviceInfo>, QueryError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM devices WHERE user = ?1 AND revoked_ms IS NULL ORDER BY created_ms, id"
        ))?;
        let devices = statement.query_map([sql(user)], device_at)?;
        Ok(devices.collect::<Result<_, _>>()?)
    }

    /// What a token of a device is good for, by its SHA-256; `None` if it is none of the device's. For sessions without a
    /// quorum, which cannot use one up.
    ///
    /// # Errors
    /// SQLite's.
    pub fn token_role(&self, device: u64, hash: &[u8; 32]) -> Result<Option<TokenRole>, QueryError> {
        Ok(self
            .connection
            .prepare_cached("SELECT role FROM device_tokens WHERE hash = ?2 AND device = ?1")?
            .query_row(params![sql(device), hash], |row| device_rows::role_from_sql(0, row.get(0)?))
            .optional()?)
    }

    /// Until when clients at an address may act for a user, milliseconds since 1970, UTC; `None` if they may not.
    ///
    /// # Errors
    /// SQLite's.
    pub fn bound_until(&self, user: u64, address: &[u8; 16]) -> Result<Option<u64>, QueryError> {
        Ok(self
            .connection
            .prepare_cached("SELECT until_ms FROM bound_addresses WHERE user = ?1 AND address = ?2")?
            .query_row(params![sql(user), address], |row| u64_at(row, 0))
            .optional()?)
    }

    /// Somebody for whom clients at an address may act now: id and name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn bound_at(&self, address: &[u8; 16], now_ms: u64) -> Result<Option<(u64, String)>, QueryError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT users.id, users.name FROM bound_addresses JOIN users ON users.id = bound_addresses.user
                 WHERE address = ?1 AND until_ms > ?2 LIMIT 1",
            )?
            .query_row(params![address, sql(now_ms)], |row| Ok((u64_at(row, 0)?, row.get(1)?)))
            .optional()?)
    }

    /// Number of the last write of a device that was applied; 0 before the first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn last_seq(&self, device: u64) -> Result<u64, QueryError> {
        Ok(writers::position(&self.connection, device)?.map_or(0, |position| position.last_seq))
    }
}

fn device_at(row: &Row<'_>) -> rusqlite::Result<DeviceInfo> {
    Ok(DeviceInfo {
        device: u64_at(row, 0)?,
        user: u64_at(row, 1)?,
        name: row.get(2)?,
        revoked: row.get(3)?,
        created_ms: u64_at(row, 4)?,
        seen_ms: u64_at(row, 5)?,
    })
}
