//! The owner of SQLite: two databases, each with its own thread.
//!
//! | file       | thread  | durability                                                                            |
//! |------------|---------|---------------------------------------------------------------------------------------|
//! | `log.db`   | `log`   | `synchronous=FULL`: what [`log::LogStore`] has answered is on disk                     |
//! | `state.db` | `apply` | `synchronous=NORMAL`: changes and applied index together, on disk after a checkpoint   |
//!
//! The state may fall behind in a power loss, never apart: its applied index is in the same transaction as the
//! changes, and the log keeps everything above the last checkpoint. Log and state never share a connection (the
//! log would then be as weak as the state) nor a file (an append would wait for apply's lock).
//!
//! When a disk fails or lies, [`trouble`] says what that means; every thread raises the same alarm and the process ends.
//!
//! Reads go over connections of their own and see the last committed transaction.

pub mod apply;
mod checkpoints;
mod device_rows;
pub mod entry;
pub mod hashes;
pub mod log;
mod mark;
mod name_keys;
pub mod promises;
pub mod query;
mod query_pool;
pub mod removals;
mod room;
mod rows;
mod schema;
pub mod snapshot;
pub mod state;
mod state_copy;
mod state_tx;
mod sweep;
mod transaction;
pub mod trouble;
mod wal;
mod writers;

pub use query_pool::Queries;

use std::path::Path;

use wire::replication::entry::LogId;

use trouble::Damage;

/// From now on the calling thread makes way for others that have work too. With fewer processors than threads that is what
/// keeps the work of one entry from holding up the flush and the answers of the next.
fn make_way(nice: i32) {
    // Of the thread on Linux, of the whole process elsewhere. Where it is not allowed it is only slower.
    if cfg!(target_os = "linux") {
        let _ = rustix::process::nice(nice);
    }
}

/// Looks at the two databases together before either is opened.
///
/// # Errors
/// One is missing that was there: made anew it would have forgotten votes and promises.
pub fn check_files(log: &Path, state: &Path) -> Result<(), Damage> {
    let has_content = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    // The log is always made first.
    if has_content(state) && !has_content(log) {
        return Err(Damage::new(log, "it is missing or empty, though state.db is there"));
    }
    Ok(())
}

/// Looks at the two open databases together.
///
/// # Errors
/// The state lacks what was durable in it when the log was purged.
pub fn check_positions(state: &Path, applied: Option<LogId>, purged: Option<u64>) -> Result<(), Damage> {
    let applied = applied.map(|id| id.index);
    if applied < purged {
        let place =
            |index: Option<u64>| index.map_or_else(|| "the beginning".to_owned(), |index| format!("entry {index}"));
        let detail = format!(
            "it stands at {}, and the log goes on after {}: it was put back from a copy, or an earlier release ended while it \
             took in the cluster's state. The other servers of the cluster have what is missing",
            place(applied),
            place(purged)
        );
        return Err(Damage::new(state, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_has_vanished_is_not_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (log, state) = (directory.path().join("log.db"), directory.path().join("state.db"));
        check_files(&log, &state).unwrap();
        std::fs::write(&state, "x").unwrap();
        assert!(check_files(&log, &state).unwrap_err().to_string().contains("log.db is damaged: it is missing"));
        std::fs::write(&log, "").unwrap();
        check_files(&log, &state).unwrap_err();
        std::fs::write(&log, "x").unwrap();
        check_files(&log, &state).unwrap();
    }

    #[test]
    fn a_state_behind_the_purged_log_is_damaged() {
        let state = Path::new("state.db");
        let at = |index| Some(LogId { term: 1, node: 1, index });
        check_positions(state, None, None).unwrap();
        check_positions(state, at(7), None).unwrap();
        check_positions(state, at(7), Some(7)).unwrap();
        let said = check_positions(state, at(6), Some(7)).unwrap_err().to_string();
        assert!(said.contains("stands at entry 6") && said.contains("goes on after entry 7"), "{said}");
        check_positions(state, None, Some(0)).unwrap_err();
    }
}
