//! What was dropped does not stay readable in the files, and its space goes back to the file system.
//!
//! SQLite leaves the content of free pages as it is, and keeps them for later; a write-ahead log keeps old pages beyond its
//! end. A writing thread therefore sweeps after something was dropped: in steps of bounded size, in a second in which it had
//! nothing else to do, or else once in some minutes. A step takes free pages out of the file, from its end on. When none is
//! left the write-ahead log is moved into the database and cut to nothing. Not more often: a log that has its length is
//! flushed faster than one that grows, and under load both are written over anyway.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::env::Clock;
use crate::limits::{SWEEP_PAGES, SWEEP_PAUSE, SWEEP_SKIPS_MAX};

/// What one writing thread has to sweep.
#[derive(Debug)]
pub(super) struct Sweep {
    /// When the next step may be done; `None` when there is nothing to do.
    next: Option<Instant>,
    /// The thread had other work since this was last looked at.
    busy: bool,
    /// Steps left out for that in a row.
    skipped: u32,
}

impl Sweep {
    /// With something to do: an earlier process may have ended in the middle.
    pub(super) fn new() -> Self {
        Sweep { next: Some(Clock.monotonic() + SWEEP_PAUSE), busy: false, skipped: 0 }
    }

    /// With nothing to do.
    pub(super) fn idle() -> Self {
        Sweep { next: None, busy: false, skipped: 0 }
    }

    /// The thread has other work.
    pub(super) fn worked(&mut self) {
        self.busy = true;
    }

    /// Something was dropped.
    pub(super) fn stir(&mut self) {
        if self.next.is_none() {
            self.next = Some(Clock.monotonic() + SWEEP_PAUSE);
        }
    }

    /// Until the next step; `None` when there is nothing to do.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(Clock.monotonic()))
    }

    /// Does the next step over the writing connection, outside a transaction.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.next = Some(Clock.monotonic() + SWEEP_PAUSE);
        if std::mem::take(&mut self.busy) && self.skipped < SWEEP_SKIPS_MAX {
            self.skipped += 1;
            return Ok(());
        }
        self.skipped = 0;
        let free =
            |connection: &Connection| connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, u32>(0));
        let before = free(connection)?;
        if before > 0 {
            // One row for each page: a statement that is not read to its end gives back a single one.
            let mut statement = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({SWEEP_PAGES})"))?;
            let mut pages = statement.query([])?;
            while pages.next()?.is_some() {}
        }
        let after = free(connection)?;
        // A database of an earlier release gives nothing back.
        if (after == 0 || after == before) && truncate(connection)? {
            self.next = None;
        }
        Ok(())
    }
}

/// Moves the write-ahead log into the database and cuts it to nothing; returns whether it could. A reader or a checkpoint
/// that is under way is not waited for.
fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    let patience: i64 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
    connection.busy_timeout(Duration::ZERO)?;
    let cut = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(Duration::from_millis(u64::try_from(patience).unwrap_or(0)))?;
    match cut {
        Ok(busy) => Ok(busy == 0),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error),
    }
}
