//! Making the state durable, copying it, and replacing it by a copy.
//!
//! At `synchronous=NORMAL` a commit is written but not synced. A checkpoint syncs the write-ahead log before it moves
//! pages into the database and the database behind it, but a `PASSIVE` one stops, without any sync, at the first page
//! that a reader still needs the old version of. So [`checkpoint`] looks at how far it came and syncs the write-ahead
//! log itself where SQLite did not: everything in it then survives a power loss, moved or not.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use wire::replication::entry::{LogId, Membership};

use super::room::NoRoom;
use super::schema::{self, OpenError};
use super::state_tx::Progress;

/// How long an operation on its own connection waits for the apply thread's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Why a checkpoint, a copy or an installation failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// SQLite failed.
    #[error("the state database failed")]
    Sqlite(#[source] rusqlite::Error),
    /// The disk failed.
    #[error("cannot write {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file to be installed cannot be used; nothing was changed.
    #[error("the copy cannot be installed")]
    Unusable(#[source] OpenError),
    /// The disk is too full for it.
    #[error(transparent)]
    NoRoom(NoRoom),
    /// The live database was kept busy by another connection.
    #[error("the state database is locked by another connection")]
    Busy,
}

/// What a copy, or the database after a checkpoint, holds for sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInfo {
    /// The last entry applied to it.
    pub applied: Option<LogId>,
    /// The entry that named its members.
    pub membership_log_id: Option<LogId>,
    /// Its members.
    pub membership: Membership,
    /// Its chained hash.
    pub state_hash: [u8; 32],
}

impl From<Progress> for CopyInfo {
    fn from(progress: Progress) -> CopyInfo {
        CopyInfo {
            applied: progress.applied,
            membership_log_id: progress.membership_log_id,
            membership: progress.membership,
            state_hash: progress.state_hash,
        }
    }
}

/// A file that is removed when dropped.
#[derive(Debug)]
pub(super) struct Removed(pub(super) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // Leftovers are removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes the state durable from a thread of its own, beside the apply thread.
#[derive(Debug)]
pub struct Checkpointer {
    connection: Connection,
    path: PathBuf,
}

impl Checkpointer {
    /// Opens a connection of its own to an existing database.
    ///
    /// # Errors
    /// It is damaged, of another format, or not accessible.
    pub fn open(path: &Path) -> Result<Checkpointer, OpenError> {
        Ok(Checkpointer { connection: open_beside(path)?, path: path.to_owned() })
    }

    /// Makes everything applied before the call durable and says what that is: the log may be purged up to there.
    ///
    /// # Errors
    /// SQLite or the disk failed.
    pub fn checkpoint(&mut self) -> Result<CopyInfo, CopyError> {
        // Read first: what is committed later may miss the sync.
        let progress = Progress::load(&self.connection).map_err(CopyError::Sqlite)?;
        checkpoint(&self.connection, &self.path)?;
        progress.map(CopyInfo::from).ok_or(CopyError::Sqlite(rusqlite::Error::QueryReturnedNoRows))
    }
}

/// A connection beside the writer's that may make checkpoints.
pub(super) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | schema::no_mutex();
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    schema::prepare_writer(path, &mut connection)?;
    connection.busy_timeout(LOCK_PATIENCE).map_err(sqlite)?;
    Ok(connection)
}

/// Moves what can be moved into the database; returns whether that was everything.
pub(super) fn passive_checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, frames, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && frames == moved)
    })
}

/// Moves everything into the database at a start, which writes and flushes anew what an earlier process may have left in
/// the kernel's memory only: after a flush that failed, nothing there is certain.
pub(super) fn begin_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Everything committed so far is on disk when this returns.
pub(super) fn checkpoint(connection: &Connection, path: &Path) -> Result<(), CopyError> {
    if passive_checkpoint(connection).map_err(CopyError::Sqlite)? {
        return Ok(());
    }
    let path = wal_path(path);
    // SQLite's locks are not on this file, so closing our handle drops none of them.
    File::open(&path).and_then(|wal| wal.sync_data()).map_err(|source| CopyError::Io { path, source })
}

/// The write-ahead log beside a database.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a consistent copy of the database at `path` into the new file `copy` and says what it holds. Works beside the
/// apply thread, over a connection of its own. The copy is compact and on disk; what was deleted is not in it.
///
/// # Errors
/// The database cannot be read or the copy not be written. What is at `copy` then must not be used.
pub fn copy_to(path: &Path, copy: &Path) -> Result<CopyInfo, CopyError> {
    let io = |source| CopyError::Io { path: copy.to_owned(), source };
    let source = schema::open_reader(path).map_err(CopyError::Unusable)?;
    source.busy_timeout(LOCK_PATIENCE).map_err(CopyError::Sqlite)?;
    // VACUUM INTO takes an empty file, and so keeps it private.
    schema::make_private(copy).map_err(io)?;
    source.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map_err(CopyError::Sqlite)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(io)?;
    schema::sync_directory(copy).map_err(io)?;
    let (_, info) = open_copy(copy).map_err(CopyError::Unusable)?;
    Ok(info)
}

/// A copy whose pages are as large as those of `live`, because SQLite copies whole pages: `copy` itself, or a file beside it
/// that is there as long as what is given back.
fn with_pages_of(
    live: &Connection,
    source: Connection,
    copy: &Path,
) -> Result<(Connection, Option<Removed>), CopyError> {
    let page_bytes = |connection: &Connection| {
        connection.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0)).map_err(CopyError::Sqlite)
    };
    let wanted = page_bytes(live)?;
    if page_bytes(&source)? == wanted {
        return Ok((source, None));
    }
    let path = beside(copy, "-pages");
    let file = Removed(path.clone());
    schema::make_private(&path).map_err(|source| CopyError::Io { path: path.clone(), source })?;
    source.pragma_update(None, "page_size", wanted).map_err(CopyError::Sqlite)?;
    source.execute("VACUUM INTO ?1", [path.to_string_lossy()]).map_err(CopyError::Sqlite)?;
    let (source, _) = open_copy(&path).map_err(CopyError::Unusable)?;
    Ok((source, Some(file)))
}

/// Opens a copy and reads what it holds. Does not look for damage.
fn open_copy(copy: &Path) -> Result<(Connection, CopyInfo), OpenError> {
    let sqlite = |error| OpenError::from_sqlite(copy, error);
    let connection = schema::open_reader(copy)?;
    let damaged = |detail: &str| OpenError::Damaged { path: copy.to_owned(), detail: detail.to_owned() };
    if schema::check_version(copy, &connection)? == 0 {
        return Err(damaged("it is empty"));
    }
    let progress = Progress::load(&connection).map_err(sqlite)?;
    let progress = progress.ok_or_else(|| damaged("it does not say where it stands"))?;
    Ok((connection, progress.into()))
}

/// Looks at the whole of a copy, and says what it holds.
///
/// # Errors
/// It is no whole copy, of a format that this build does not know, or cannot be read.
pub(super) fn check(copy: &Path) -> Result<CopyInfo, OpenError> {
    let (source, info) = open_copy(copy)?;
    let verdict: String = source
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| OpenError::from_sqlite(copy, error))?;
    match verdict.as_str() {
        "ok" => Ok(info),
        _ => Err(OpenError::Damaged { path: copy.to_owned(), detail: verdict }),
    }
}

/// Replaces the content of `live` by that of `copy`, which was checked.
pub(super) fn install(live: &mut Connection, path: &Path, copy: &Path) -> Result<(), CopyError> {
    let (source, _) = open_copy(copy).map_err(CopyError::Unusable)?;
    let (source, _converted) = with_pages_of(live, source, copy)?;
    live.busy_timeout(LOCK_PATIENCE).map_err(CopyError::Sqlite)?;
    {
        let backup = Backup::new(&source, live).map_err(CopyError::Sqlite)?;
        // All pages in one step are one transaction of the live database.
        match backup.step(-1).map_err(CopyError::Sqlite)? {
            StepResult::Done => {}
            _ => return Err(CopyError::Busy),
        }
    }
    // A copy from an older release takes the steps it is missing.
    schema::prepare_writer(path, live).map_err(CopyError::Unusable)
}
