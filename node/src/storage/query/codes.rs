//! Join codes, which are looked at before anything is done for somebody who shows one.

use rusqlite::OptionalExtension;

use super::{QueryError, StateReader};
use crate::chat::state::JoinCode;
use crate::storage::rows::u64_at;

impl StateReader {
    /// The code with that hash.
    ///
    /// # Errors
    /// The database failed.
    pub fn join_code(&self, hash: &[u8; 32]) -> Result<Option<JoinCode>, QueryError> {
        Ok(self
            .connection
            .prepare_cached("SELECT expires_ms, used_by FROM join_codes WHERE hash = ?1")?
            .query_row([hash], |row| {
                let used_by: Option<i64> = row.get(1)?;
                Ok(JoinCode { expires_ms: u64_at(row, 0)?, used_by: used_by.map(i64::cast_unsigned) })
            })
            .optional()?)
    }
}
