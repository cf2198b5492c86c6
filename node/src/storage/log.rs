//! `log.db`: Raft's log and the few values that must survive beside it, on a thread of its own.
//!
//! Everything that reaches the thread while it flushes is written in the next transaction: one flush for all. A
//! completion runs only after the transaction that holds its job is on disk (`synchronous=FULL`). Every record
//! carries a CRC-32 of its content, so that damage is found when a record is read, not when replicas disagree.
//!
//! The write-ahead log is moved into the database by a second thread, over a connection of its own, so that no flush
//! waits for it. Once everything is moved SQLite starts over at the beginning of the file, whose length stays: a flush
//! then changes no metadata of the file system. Under load that never lets it finish, the log thread moves it itself.
//!
//! The first error is final: the thread answers every later job with it. A log that failed to flush once cannot
//! promise anything any more, and the node above stops.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, params};

use super::entry::LogEntry;
use super::schema;
use super::state_copy::wal_path;
use crate::limits::{LOG_CHECKPOINT_BYTES, LOG_JOBS_MAX, LOG_WAL_BYTES_MAX};

/// Called once the job's effects are on disk, or with the reason why they are not.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Values stored beside the entries, by their key in table `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// The vote this node has given.
    Vote,
    /// How far the log is known to be committed. A hint for restarts, written with the next flush of anything.
    Committed,
    /// The last purged log id.
    Purged,
    /// This node's epoch as a writer.
    Epoch,
}

impl Value {
    fn key(self) -> &'static str {
        match self {
            Value::Vote => "vote",
            Value::Committed => "committed",
            Value::Purged => "purged",
            Value::Epoch => "epoch",
        }
    }
}

/// Why `log.db` could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite said no.
    #[error("cannot open the log {path}: {source}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file system said no.
    #[error("cannot open the log {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer release wrote the file.
    #[error("the log {path} has format {found}; this release knows up to {known}: start it with a newer release")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// No thread could be started.
    #[error("cannot start the log thread: {0}")]
    Thread(io::Error),
}

enum Job {
    Append { entries: Vec<LogEntry>, done: Done },
    Put { value: Value, bytes: Vec<u8>, done: Done },
    Truncate { from: u64, done: Done },
    Purge { upto: u64, purged: Vec<u8>, done: Done },
}

/// Handle to the log thread and to a reading connection.
#[derive(Clone)]
pub struct LogStore {
    jobs: SyncSender<Job>,
    committed: Arc<Mutex<Option<Vec<u8>>>>,
    reader: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").finish_non_exhaustive()
    }
}

const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE entry (idx INTEGER PRIMARY KEY, crc INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE value (key TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;";

impl LogStore {
    /// Opens or makes `log.db` and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged, or was written by a newer release.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        schema::make_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let writer = Connection::open(path).map_err(sqlite)?;
        configure(&writer).map_err(sqlite)?;
        match writer.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(sqlite)? {
            0 => writer.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;")).map_err(sqlite)?,
            FORMAT => {}
            found => return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT }),
        }
        let reader = Connection::open(path).map_err(sqlite)?;
        configure(&reader).map_err(sqlite)?;
        let checkpointer = Connection::open(path).map_err(sqlite)?;
        configure(&checkpointer).map_err(sqlite)?;
        let committed = Arc::new(Mutex::new(None));
        let (jobs, queue) = sync_channel(LOG_JOBS_MAX);
        let (move_wal, moves) = sync_channel(1);
        let wal = Wal { path: wal_path(path), written: 0, move_wal };
        // Detached: they end with the last handle, and whatever was answered by then is on disk.
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(OpenError::Thread)
        };
        let writer = Writer { connection: writer, committed: committed.clone(), wal, failed: None };
        spawn("log", Box::new(move || writer.run(&queue)))?;
        spawn("log-checkpoint", Box::new(move || checkpoint_on_demand(&checkpointer, &moves)))?;
        Ok(LogStore { jobs, committed, reader: Arc::new(Mutex::new(reader)) })
    }

    /// Appends entries; an entry at an index that exists replaces it.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        self.send(Job::Append { entries, done });
    }

    /// Stores a value.
    pub fn put(&self, value: Value, bytes: Vec<u8>, done: Done) {
        self.send(Job::Put { value, bytes, done });
    }

    /// Remembers how far the log is committed; written with the next flush, lost with the process if none follows.
    pub fn remember_committed(&self, bytes: Vec<u8>) {
        *self.committed.lock().expect("nobody panics while holding this lock") = Some(bytes);
    }

    /// Drops the entries from `from` on.
    pub fn truncate(&self, from: u64, done: Done) {
        self.send(Job::Truncate { from, done });
    }

    /// Drops the entries up to and including `upto` and stores `purged` as [`Value::Purged`].
    pub fn purge(&self, upto: u64, purged: Vec<u8>, done: Done) {
        self.send(Job::Purge { upto, purged, done });
    }

    fn send(&self, job: Job) {
        if let Err(error) = self.jobs.send(job) {
            error.0.done()(Err(io::Error::other("the log thread is gone")));
        }
    }

    /// Reads a value as last flushed.
    ///
    /// # Errors
    /// SQLite's.
    pub fn get(&self, value: Value) -> io::Result<Option<Vec<u8>>> {
        self.with_reader(|reader| {
            reader
                .prepare_cached("SELECT bytes FROM value WHERE key = ?1")?
                .query_row([value.key()], |row| row.get(0))
                .optional()
        })
    }

    /// The last flushed entry.
    ///
    /// # Errors
    /// SQLite's, or a damaged record.
    pub fn last(&self) -> io::Result<Option<LogEntry>> {
        let row = self.with_reader(|reader| {
            reader
                .prepare_cached("SELECT idx, crc, record FROM entry ORDER BY idx DESC LIMIT 1")?
                .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?)))
                .optional()
        })?;
        row.map(|(index, crc, record): (i64, u32, Vec<u8>)| checked(index, crc, &record)).transpose()
    }

    /// Reads flushed entries in order, stopping at `bytes_max` (at least one entry is returned if there is one), and
    /// says whether it stopped.
    ///
    /// # Errors
    /// SQLite's, or a damaged record.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<(Vec<LogEntry>, bool)> {
        let mut entries = Vec::new();
        let (mut damage, mut stopped) = (None, false);
        self.with_reader(|reader| {
            let mut statement = reader
                .prepare_cached("SELECT idx, crc, record FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")?;
            let mut rows = statement.query([sql(range.start), sql(range.end)])?;
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                match checked(row.get::<_, i64>(0)?, row.get(1)?, row.get_ref(2)?.as_blob().unwrap_or_default()) {
                    Ok(entry) => {
                        bytes += entry.weight();
                        if bytes > bytes_max && !entries.is_empty() {
                            stopped = true;
                            break;
                        }
                        entries.push(entry);
                    }
                    Err(error) => {
                        damage = Some(error);
                        break;
                    }
                }
            }
            Ok(())
        })?;
        damage.map_or(Ok((entries, stopped)), Err)
    }

    fn with_reader<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> io::Result<T> {
        read(&self.reader.lock().expect("nobody panics while holding this lock")).map_err(io::Error::other)
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Checkpoints are run by the thread itself, between flushes and never inside one.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))
}

/// SQLite's integers are signed; an index never gets near the difference, a range's open end does.
fn sql(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn checked(index: i64, crc: u32, record: &[u8]) -> io::Result<LogEntry> {
    let damaged =
        |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("log entry {index} is damaged: {what}"));
    if crc32fast::hash(record) != crc {
        return Err(damaged("its checksum differs".into()));
    }
    let entry = LogEntry::from_record(record).map_err(|error| damaged(error.to_string()))?;
    if sql(entry.log_id.index) != index {
        return Err(damaged(format!("it holds entry {}", entry.log_id.index)));
    }
    Ok(entry)
}

impl Job {
    fn done(self) -> Done {
        match self {
            Job::Append { done, .. } | Job::Put { done, .. } | Job::Truncate { done, .. } | Job::Purge { done, .. } => {
                done
            }
        }
    }
}

/// Bytes a flush adds to the write-ahead log beside its records, near enough: two pages with their headers.
const FLUSH_OVERHEAD_BYTES: u64 = 2 * (4096 + 24);

/// Keeps the write-ahead log short.
struct Wal {
    path: PathBuf,
    /// Since the checkpoint thread was last woken, about.
    written: u64,
    move_wal: SyncSender<()>,
}

impl Wal {
    fn bound(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.written < LOG_CHECKPOINT_BYTES {
            return Ok(());
        }
        self.written = 0;
        if std::fs::metadata(&self.path).is_ok_and(|wal| wal.len() > LOG_WAL_BYTES_MAX) {
            // The other thread never came to an end. Here nothing is written meanwhile, so this does.
            return connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        // Full: it is at work. Gone: it has failed, and said so; this thread then bounds the file alone.
        let _ = self.move_wal.try_send(());
        Ok(())
    }
}

fn checkpoint_on_demand(connection: &Connection, moves: &Receiver<()>) {
    while moves.recv().is_ok() {
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::error!(%error, "cannot move the write-ahead log into log.db");
            return;
        }
    }
}

/// What the thread owns.
struct Writer {
    connection: Connection,
    committed: Arc<Mutex<Option<Vec<u8>>>>,
    wal: Wal,
    failed: Option<String>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut jobs = Vec::new();
        while let Ok(first) = queue.recv() {
            jobs.push(first);
            jobs.extend(queue.try_iter().take(LOG_JOBS_MAX));
            if self.failed.is_none()
                && let Err(error) = self.flush(&jobs)
            {
                self.failed = Some(format!("log.db: {error}"));
            }
            for job in jobs.drain(..) {
                job.done()(self.failed.as_ref().map_or(Ok(()), |reason| Err(io::Error::other(reason.clone()))));
            }
            if self.failed.is_none()
                && let Err(error) = self.wal.bound(&self.connection)
            {
                self.failed = Some(format!("log.db: {error}"));
            }
        }
    }

    fn flush(&mut self, jobs: &[Job]) -> rusqlite::Result<()> {
        // A flush writes whole pages: some for the tree above the records.
        self.wal.written += FLUSH_OVERHEAD_BYTES;
        let transaction = self.connection.transaction()?;
        for job in jobs {
            match job {
                Job::Append { entries, .. } => {
                    let mut insert = transaction
                        .prepare_cached("INSERT OR REPLACE INTO entry (idx, crc, record) VALUES (?1, ?2, ?3)")?;
                    for entry in entries {
                        let record = entry.to_record();
                        self.wal.written += record.len() as u64;
                        insert.execute(params![sql(entry.log_id.index), crc32fast::hash(&record), record])?;
                    }
                }
                Job::Put { value, bytes, .. } => put(&transaction, *value, bytes)?,
                Job::Truncate { from, .. } => {
                    transaction.prepare_cached("DELETE FROM entry WHERE idx >= ?1")?.execute([sql(*from)])?;
                }
                Job::Purge { upto, purged, .. } => {
                    transaction.prepare_cached("DELETE FROM entry WHERE idx <= ?1")?.execute([sql(*upto)])?;
                    put(&transaction, Value::Purged, purged)?;
                }
            }
        }
        let committed = self.committed.lock().expect("nobody panics while holding this lock").take();
        if let Some(bytes) = committed {
            put(&transaction, Value::Committed, &bytes)?;
        }
        transaction.commit()
    }
}

fn put(connection: &Connection, value: Value, bytes: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO value (key, bytes) VALUES (?1, ?2)")?
        .execute(params![value.key(), bytes])
        .map(|_| ())
}
