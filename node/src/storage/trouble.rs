//! When a disk fails: what to tell the operator, and who ends the process.
//!
//! A node that cannot write, or that finds its data damaged, must not vote, answer or acknowledge any more. Whoever notices
//! raises the [`Alarm`]; nothing is answered after that, and [`crate::run`] ends the process with the reason.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_ERROR, SQLITE_IOERR_SHMSIZE};
use tokio::sync::watch;

/// What helps against damaged data.
pub const DAMAGED: &str = "do not start from this data directory again: move it away, let this server join as a new one \
                           with the line that `node join-code` prints on another server, and remove the old one there with \
                           `node members remove`";

/// What helps against a full disk.
const FULL: &str = "the disk is full: free some space, then start this server again; it catches up by itself";

/// What helps against a disk that fails.
const FAILING: &str = "the disk has failed: look into the system's log, and start this server again once the disk is sound; \
                       if it stays doubtful, use another --data-dir and join as a new server";

/// What has gone wrong, as far as it decides what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Full,
    Failing,
    Damaged,
}

impl Trouble {
    fn of(error: &(dyn Error + 'static)) -> Option<Trouble> {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
            if is_foreign_content(error) {
                return Some(Trouble::Damaged);
            }
            let extended = error.sqlite_error().map(|error| error.extended_code);
            return match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Some(Trouble::Full),
                // The index of a write-ahead log could not grow.
                Some(_) if extended == Some(SQLITE_IOERR_SHMSIZE) => Some(Trouble::Full),
                Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                    Some(Trouble::Failing)
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Some(Trouble::Damaged),
                _ => None,
            };
        }
        let error = error.downcast_ref::<io::Error>()?;
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Some(Trouble::Full)
            }
            io::ErrorKind::InvalidData => Some(Trouble::Damaged),
            // EIO has no kind of its own.
            _ if error.raw_os_error() == Some(5) => Some(Trouble::Failing),
            _ => error.get_ref().and_then(|inner| Trouble::of(inner)),
        }
    }

    fn in_chain(error: &(dyn Error + 'static)) -> Option<Trouble> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(trouble) = Trouble::of(error) {
                return Some(trouble);
            }
            next = error.source();
        }
        None
    }

    fn remedy(self) -> &'static str {
        match self {
            Trouble::Full => FULL,
            Trouble::Failing => FAILING,
            Trouble::Damaged => DAMAGED,
        }
    }
}

/// Whether SQLite could read a database, and found there what this program never writes: a value of another type, or a number
/// out of its range.
pub(super) fn is_foreign_content(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

/// Whether a database that is being opened lacks a table or a column. Every statement here fits the tables that it has made.
pub(super) fn is_other_shape(error: &rusqlite::Error) -> bool {
    let said = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(error, Some(said)) if error.extended_code == SQLITE_ERROR => said,
        _ => return false,
    };
    said.contains("no such ") || said.contains(" has no column ")
}

/// Whether a disk without space is behind an error.
pub(super) fn is_full(error: &(dyn Error + 'static)) -> bool {
    Trouble::in_chain(error) == Some(Trouble::Full)
}

/// What an operator can do about an error that a disk is behind.
pub fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    Trouble::in_chain(error).map(Trouble::remedy)
}

/// Files that cannot be what this node has written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is damaged: {detail}; {DAMAGED}")]
pub struct Damage {
    /// Which file.
    pub path: String,
    /// What was found.
    pub detail: String,
}

impl Damage {
    /// Of that file.
    pub fn new(path: &Path, detail: impl Into<String>) -> Self {
        Damage { path: path.display().to_string(), detail: detail.into() }
    }
}

/// The first failure after which this node must not go on: of its storage, or of a task that others wait for. Clones share
/// it.
#[derive(Debug, Clone)]
pub struct Alarm {
    reason: Arc<watch::Sender<Option<Arc<str>>>>,
    /// It was raised by a panic.
    defect: Arc<AtomicBool>,
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm { reason: Arc::new(watch::Sender::new(None)), defect: Arc::default() }
    }
}

impl Alarm {
    /// Says that `what` has failed. Only the first call counts; the rest follows from it.
    pub fn raise(&self, what: &str, error: &(dyn Error + 'static)) {
        let mut reason = format!("{what}: {}", crate::report::chain(error));
        if let Some(remedy) = remedy(error).filter(|remedy| !reason.contains(remedy)) {
            reason.push_str("; ");
            reason.push_str(remedy);
        }
        self.reason.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(reason, "this server stops");
                *first = Some(reason.as_str().into());
            }
            is_first
        });
    }

    /// As [`Alarm::raise`], if a disk is behind this error; a query, for example, can fail for other reasons.
    pub fn raise_if_disk(&self, what: &str, error: &(dyn Error + 'static)) {
        if Trouble::in_chain(error).is_some() {
            self.raise(what, error);
        }
    }

    /// Runs a task that others wait for. Should it panic, which is a bug, they would wait for ever: the alarm is raised.
    pub fn guard(&self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (alarm, task) = (self.clone(), tokio::spawn(task));
        tokio::spawn(async move {
            if let Err(error) = task.await
                && error.is_panic()
            {
                alarm.defect.store(true, Ordering::Relaxed);
                alarm.raise(what, &error);
            }
        });
    }

    /// Whether a panic is behind it, rather than a disk.
    pub fn is_defect(&self) -> bool {
        self.defect.load(Ordering::Relaxed)
    }

    /// Why this node must not go on, if so.
    pub fn reason(&self) -> Option<Arc<str>> {
        self.reason.borrow().clone()
    }

    /// Returns once this node must not go on, with the reason.
    pub async fn raised(&self) -> Arc<str> {
        let mut reason = self.reason.subscribe();
        let raised = reason.wait_for(Option::is_some).await.expect("the sender is in self");
        raised.clone().expect("that was waited for")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn what_helps_depends_on_what_is_behind_it() {
        let check =
            |error: &(dyn Error + 'static), expected: Option<&str>| assert_eq!(remedy(error), expected, "{error}");
        check(&sqlite(rusqlite::ffi::SQLITE_FULL), Some(FULL));
        check(&sqlite(SQLITE_IOERR_SHMSIZE), Some(FULL));
        check(&sqlite(rusqlite::ffi::SQLITE_IOERR_FSYNC), Some(FAILING));
        check(&sqlite(rusqlite::ffi::SQLITE_CORRUPT), Some(DAMAGED));
        check(&sqlite(rusqlite::ffi::SQLITE_BUSY), None);
        check(&rusqlite::Error::IntegralValueOutOfRange(1, -1), Some(DAMAGED));
        check(&rusqlite::Error::InvalidColumnType(1, "crc".into(), rusqlite::types::Type::Text), Some(DAMAGED));
        // Inside other errors, as the layers above wrap them.
        check(&io::Error::other(sqlite(rusqlite::ffi::SQLITE_FULL)), Some(FULL));
        check(&super::super::state::ApplyError::Sqlite(sqlite(rusqlite::ffi::SQLITE_FULL)), Some(FULL));
        check(&io::Error::from_raw_os_error(28), Some(FULL));
        check(&io::Error::from_raw_os_error(5), Some(FAILING));
        check(&io::Error::from(io::ErrorKind::TimedOut), None);
    }

    #[test]
    fn the_first_alarm_stays() {
        let alarm = Alarm::default();
        assert_eq!(alarm.reason(), None);
        alarm.raise_if_disk("a query failed", &sqlite(rusqlite::ffi::SQLITE_BUSY));
        assert_eq!(alarm.reason(), None);
        alarm.raise("cannot write log.db", &sqlite(rusqlite::ffi::SQLITE_FULL));
        alarm.raise("cannot write state.db", &sqlite(rusqlite::ffi::SQLITE_IOERR));
        let reason = alarm.reason().unwrap();
        assert!(reason.starts_with("cannot write log.db: ") && reason.ends_with(FULL), "{reason}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(alarm.raised()), reason);
    }
}
