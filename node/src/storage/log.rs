//! `log.db`: Raft's log and the few values that must survive beside it, on a thread of its own.
//!
//! Everything that reaches the thread while it flushes is written in the next transaction: one flush for all. A
//! completion runs only after the transaction that holds its job is on disk (`synchronous=FULL`). Every record and
//! value carries a CRC-32 of its content, so that damage is found when it is read, not when replicas disagree.
//!
//! The write-ahead log is kept short beside the flushes; see [`super::checkpoints`].
//!
//! The first error is final, wherever in the storage it was: the thread answers every later job with it and raises the
//! [`Alarm`]. A log that failed to flush once cannot promise anything any more: the kernel may have dropped what it could
//! not write and call the next flush a success. For the same reason each start begins by moving the whole write-ahead log
//! into the database, which writes and flushes anew what an earlier process may have left in the kernel's memory only.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use wire::replication::entry::LogId;
use wire::replication::rpc::Life;
use wire::replication::{decode, encode};

use super::checkpoints::Checkpoints;
use super::entry::LogEntry;
use super::mark::{FileId, Mark};
use super::promises::Promises;
use super::schema;
use super::state_copy::wal_path;
use super::sweep::Sweep;
use super::transaction::Transaction;
use super::trouble::{Alarm, DAMAGED, Damage, is_foreign_content, is_other_shape};
use super::wal;
use crate::env::Clock;
use crate::limits::{FLUSHES_PER_COMMITTED, HINTS_PAUSE, LOG_JOBS_MAX};

/// Called once the job's effects are on disk, or with the reason why they are not.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Values stored beside the entries, by their key in table `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// The vote this node has given.
    Vote,
    /// How far the log is known to be committed. A hint for restarts, written with one flush in many.
    Committed,
    /// The last purged log id.
    Purged,
    /// This node's epoch as a writer.
    Epoch,
    /// The process that writes here.
    Life,
    /// Which file `log.db` is; see [`super::mark`].
    File,
    /// How far a leader's log has replaced this one's: the leader's id, and the last index before the cut.
    Cut,
    /// What is remembered of the other members.
    Promises,
}

impl Value {
    fn key(self) -> &'static str {
        match self {
            Value::Vote => "vote",
            Value::Committed => "committed",
            Value::Purged => "purged",
            Value::Epoch => "epoch",
            Value::Life => "life",
            Value::File => "file",
            Value::Cut => "cut",
            Value::Promises => "promises",
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
    /// Its content is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A database, but of another program.
    #[error("{path} is not a Samira log; {DAMAGED}")]
    Foreign {
        /// Which file.
        path: PathBuf,
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
    /// Something of it is gone.
    #[error(
        "the log {path} ends at {}, though this server had it on disk up to entry {}: a file here was replaced by an \
         older one, or log.db-wal was removed. Messages may be missing that people were told are stored. Nothing was \
         changed. Put the newest files back; if there are none, {LOST}",
        place(.end), .was.index
    )]
    Older {
        /// Which file.
        path: PathBuf,
        /// Where it ends.
        end: Option<LogId>,
        /// Where it ended.
        was: LogId,
    },
    /// No thread could be started.
    #[error("cannot start the log thread: {0}")]
    Thread(io::Error),
}

/// What is left to do for a server whose newest data is gone.
pub const LOST: &str = "and a majority of the other servers runs, remove this one there with `node members remove` and let \
                        this machine join as a new one with an empty data directory. Keep the old directory until the \
                        cluster serves again. `--trust-data` starts from it all the same and gives up what it lacks";

/// The end of a log, for people.
pub fn place(end: &Option<LogId>) -> String {
    end.map_or_else(|| "its beginning".to_owned(), |end| format!("entry {}", end.index))
}

impl OpenError {
    /// Sorts what SQLite says about `path`: damage is told apart from everything else.
    fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        if is_foreign_content(&source) || is_other_shape(&source) {
            return Damage::new(path, source.to_string()).into();
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Damage::new(path, source.to_string()).into(),
            _ => OpenError::Sqlite { path: path.to_owned(), source },
        }
    }
}

enum Job {
    Append { entries: Vec<LogEntry>, done: Done },
    Put { value: Value, bytes: Vec<u8>, done: Done },
    Truncate { from: u64, cut: Option<LogId>, done: Done },
    Purge { upto: u64, purged: Vec<u8>, done: Done },
}

/// Handle to the log thread and to a reading connection.
#[derive(Clone)]
pub struct LogStore {
    jobs: SyncSender<Job>,
    committed: Arc<Mutex<Option<Vec<u8>>>>,
    reader: Arc<Mutex<Connection>>,
    promises: Promises,
    life: Life,
    is_copy: bool,
    path: PathBuf,
    alarm: Alarm,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").finish_non_exhaustive()
    }
}

const FORMAT: i64 = 2;

const ENTRIES: &str = "CREATE TABLE entry (idx INTEGER PRIMARY KEY, crc INTEGER NOT NULL, record BLOB NOT NULL);";

const VALUES: &str =
    "CREATE TABLE value (key TEXT PRIMARY KEY, crc INTEGER NOT NULL, bytes BLOB NOT NULL) WITHOUT ROWID;
     PRAGMA user_version = 2;";

impl LogStore {
    /// Opens or makes `log.db` and starts its thread. Failures are told to `alarm`, and those of others end its work.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged, lacks what was on disk, or was written by a newer release.
    pub fn open(path: &Path, alarm: Alarm) -> Result<Self, OpenError> {
        Self::open_as(path, alarm, false)
    }

    /// As [`LogStore::open`]. With `trusted` a log that lacks something is taken as it is.
    ///
    /// # Errors
    /// See there.
    pub fn open_as(path: &Path, alarm: Alarm, trusted: bool) -> Result<Self, OpenError> {
        let sqlite = |source| OpenError::from_sqlite(path, source);
        let file = |source| OpenError::File { path: path.to_owned(), source };
        if let Some(detail) = wal::damage(&wal_path(path)).map_err(file)? {
            return Err(Damage::new(path, detail).into());
        }
        schema::make_private(path).map_err(file)?;
        let mut writer = Connection::open(path).map_err(sqlite)?;
        // Before the settings: they would change another program's file.
        let tables = "SELECT count(*), count(*) FILTER (WHERE name IN ('entry', 'value')) FROM sqlite_schema";
        let (tables, ours): (u32, u32) =
            writer.query_row(tables, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(sqlite)?;
        if tables != 0 && ours < 2 {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
        if tables == 0 {
            give_back_free_pages(&writer).map_err(sqlite)?;
        }
        configure(&writer).map_err(sqlite)?;
        // See above: nothing an earlier process could not flush may be taken for flushed. Nobody else is there to be busy.
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sqlite)?;
        match writer.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(sqlite)? {
            0 => writer.execute_batch(&format!("BEGIN; {ENTRIES} {VALUES} COMMIT;")).map_err(sqlite)?,
            1 => add_checksums(&mut writer).map_err(sqlite)?,
            FORMAT => check_records(path, &writer)?,
            found => return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT }),
        }
        give_back_free_pages(&writer).map_err(sqlite)?;
        let Begun { life, is_copy, promises, end } = begin(path, &mut writer)?;
        let (mut mark, was) = Mark::open(path);
        match was.filter(|was| end < Some(*was)) {
            Some(was) if !trusted => return Err(OpenError::Older { path: path.to_owned(), end, was }),
            // What it says is not true any more.
            Some(_) => mark.set(end.unwrap_or(LogId { term: 0, node: 0, index: 0 })),
            None => {}
        }
        let reader = Connection::open(path).map_err(sqlite)?;
        configure(&reader).map_err(sqlite)?;
        let checkpointer = Connection::open(path).map_err(sqlite)?;
        configure(&checkpointer).map_err(sqlite)?;
        // The names of new files must survive a power loss too.
        schema::sync_directory(path).map_err(file)?;
        let committed = Arc::new(Mutex::new(None));
        let (jobs, queue) = sync_channel(LOG_JOBS_MAX);
        let checkpoints = Checkpoints::start("log-checkpoint", "log.db", &mut writer, checkpointer, alarm.clone());
        let checkpoints = checkpoints.map_err(OpenError::Thread)?;
        // Detached: they end with the last handle, and whatever was answered by then is on disk.
        let writer = Writer {
            connection: writer,
            committed: committed.clone(),
            promises: promises.clone(),
            unhinted: 0,
            hinted: Clock.monotonic(),
            mark,
            end,
            checkpoints,
            sweep: Sweep::new(),
            alarm: alarm.clone(),
        };
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&queue)).map_err(OpenError::Thread)?;
        let (reader, path) = (Arc::new(Mutex::new(reader)), path.to_owned());
        Ok(LogStore { jobs, committed, reader, promises, life, is_copy, path, alarm })
    }

    /// What is remembered of the other members.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// The process that has this log open.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Whether `log.db` is another file than the one that was last known to hold all promises: moved, or a copy.
    pub fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// The file that is open holds all promises.
    pub fn settle(&self, done: Done) {
        match FileId::of(&self.path) {
            Ok(file) => self.put(Value::File, encode(&file), done),
            Err(error) => done(Err(error)),
        }
    }

    /// Appends entries; an entry at an index that exists replaces it.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        self.send(Job::Append { entries, done });
    }

    /// Stores a value.
    pub fn put(&self, value: Value, bytes: Vec<u8>, done: Done) {
        self.send(Job::Put { value, bytes, done });
    }

    /// Remembers how far the log is committed; written with one flush in [`FLUSHES_PER_COMMITTED`], until then lost with the
    /// process.
    pub fn remember_committed(&self, bytes: Vec<u8>) {
        *self.committed.lock().expect("nobody panics while holding this lock") = Some(bytes);
    }

    /// Drops the entries from `from` on. `cut` is the id of the leader that wants it, with the index of the last entry left:
    /// with it the end of this log does not go back.
    pub fn truncate(&self, from: u64, cut: Option<LogId>, done: Done) {
        self.send(Job::Truncate { from, cut, done });
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
    /// SQLite's, or a damaged value.
    pub fn get(&self, value: Value) -> io::Result<Option<Vec<u8>>> {
        let row = self.with_reader(|reader| {
            reader
                .prepare_cached("SELECT crc, bytes FROM value WHERE key = ?1")?
                .query_row([value.key()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })?;
        let checked = row.map(|(crc, bytes)| checked_value(value.key(), crc, bytes)).transpose();
        checked.inspect_err(|error| self.alarm.raise("log.db", error))
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
        let entry = row.map(|(index, crc, record): (i64, u32, Vec<u8>)| checked(index, crc, &record)).transpose();
        entry.inspect_err(|error| self.alarm.raise("log.db", error))
    }

    /// Index of the oldest flushed entry.
    ///
    /// # Errors
    /// SQLite's.
    pub fn first_index(&self) -> io::Result<Option<u64>> {
        let first = self.with_reader(|reader| {
            reader.prepare_cached("SELECT min(idx) FROM entry")?.query_row([], |row| row.get::<_, Option<i64>>(0))
        })?;
        // A negative one is damage, which the start looks for.
        Ok(first.and_then(|first| u64::try_from(first).ok()))
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
        match damage {
            None => Ok((entries, stopped)),
            Some(error) => {
                self.alarm.raise("log.db", &error);
                Err(error)
            }
        }
    }

    /// Begins anew after `applied`, where the entry in its place is another one. A copy of the state that was taken in at the
    /// start brings that about: what is here was never committed then, and openraft would have dropped it.
    ///
    /// # Errors
    /// SQLite's, or damage.
    pub fn agree_with(&self, applied: Option<LogId>) -> io::Result<()> {
        let Some(applied) = applied else { return Ok(()) };
        let index = applied.index;
        let (here, _) = self.read(index..index.saturating_add(1), usize::MAX)?;
        if here.first().is_none_or(|entry| entry.log_id == applied) {
            return Ok(());
        }
        tracing::warn!(index, "the log held another entry than the state: it begins anew after it");
        let (done, answer) = sync_channel(1);
        self.purge(u64::MAX, encode(&applied), Box::new(move |result| drop(done.send(result))));
        answer.recv().map_err(io::Error::other)?
    }

    /// The log lacks an entry that it has to hold: says so, and raises the alarm.
    pub fn entry_missing(&self, index: u64) -> io::Error {
        self.damaged(format!("log entry {index} is missing"))
    }

    /// The content is not what was written: says so, and raises the alarm.
    pub fn damaged(&self, detail: String) -> io::Error {
        let damage = Damage::new(&self.path, detail);
        self.alarm.raise("log.db", &damage);
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }

    fn with_reader<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> io::Result<T> {
        read(&self.reader.lock().expect("nobody panics while holding this lock")).map_err(|error| {
            self.alarm.raise("cannot read log.db", &error);
            io::Error::other(error)
        })
    }
}

/// Lets free pages be given back in steps. A log of an earlier release is written anew for that, once: it is short.
fn give_back_free_pages(connection: &Connection) -> rusqlite::Result<()> {
    const INCREMENTAL: i64 = 2;
    if connection.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0))? != INCREMENTAL {
        // For an empty file the first is enough.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")?;
    }
    Ok(())
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // An ordinary flush leaves data in the drive's memory on macOS; elsewhere this means nothing.
    connection.pragma_update(None, "fullfsync", 1)?;
    connection.pragma_update(None, "checkpoint_fullfsync", 1)?;
    // Checkpoints are run by the thread itself, between flushes and never inside one.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    // What is purged from a page that is written anyway is overwritten there; whole pages see [`super::sweep`].
    connection.pragma_update(None, "secure_delete", "fast")?;
    // Nor at the end, which may be one after a flush that failed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
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

/// What a start finds and writes down before anything else.
struct Begun {
    life: Life,
    is_copy: bool,
    promises: Promises,
    end: Option<LogId>,
}

/// Begins a new life of this log, on disk when this returns, and reads how far it goes.
fn begin(path: &Path, connection: &mut Connection) -> Result<Begun, OpenError> {
    let sqlite = |source| OpenError::from_sqlite(path, source);
    let damaged = |error: &dyn std::fmt::Display| OpenError::from(Damage::new(path, error.to_string()));
    let file = FileId::of(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let transaction = connection.transaction().map_err(sqlite)?;
    let get = |value: Value| {
        let row: Option<(u32, Vec<u8>)> = transaction
            .query_row("SELECT crc, bytes FROM value WHERE key = ?1", [value.key()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(sqlite)?;
        row.map(|(crc, bytes)| checked_value(value.key(), crc, bytes)).transpose().map_err(|error| damaged(&error))
    };
    let log_id = |value| match get(value)? {
        Some(bytes) => decode::<LogId>(&bytes).map(Some).map_err(|error| damaged(&error)),
        None => Ok(None),
    };
    let last = transaction
        .query_row("SELECT idx, crc, record FROM entry ORDER BY idx DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
        .map_err(sqlite)?;
    let last = last.map(|(index, crc, record): (i64, u32, Vec<u8>)| checked(index, crc, &record)).transpose();
    let last = last.map_err(|error| damaged(&error))?.map(|entry| entry.log_id);
    let end = last.max(log_id(Value::Purged)?).max(log_id(Value::Cut)?);
    let life = get(Value::Life)?.map(|bytes| decode::<Life>(&bytes)).transpose().map_err(|error| damaged(&error))?;
    let known = get(Value::File)?.map(|bytes| decode::<FileId>(&bytes)).transpose().map_err(|error| damaged(&error))?;
    let promises = get(Value::Promises)?.map(|bytes| Promises::from_bytes(&bytes)).transpose();
    let promises = promises.map_err(|error| damaged(&error))?.unwrap_or_default();
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| OpenError::File { path: path.to_owned(), source: error.into() })?;
    let life = Life { incarnation: life.map_or(0, |life| life.incarnation).saturating_add(1), id };
    put(&transaction, Value::Life, &encode(&life)).map_err(sqlite)?;
    if known.is_none() {
        put(&transaction, Value::File, &encode(&file)).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)?;
    Ok(Begun { life, is_copy: known.is_some_and(|known| !known.is_same(&file)), promises, end })
}

/// From format 1, whose values had no checksums.
fn add_checksums(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let values = transaction
        .prepare("SELECT key, bytes FROM value")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, Vec<u8>)>>>()?;
    transaction.execute_batch(&format!("DROP TABLE value; {VALUES}"))?;
    for (key, bytes) in values {
        let crc = value_crc(&key, &bytes);
        transaction.execute("INSERT INTO value (key, crc, bytes) VALUES (?1, ?2, ?3)", params![key, crc, bytes])?;
    }
    transaction.commit()
}

fn checked_value(key: &str, crc: u32, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if value_crc(key, &bytes) != crc {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the value `{key}` of the log is damaged")));
    }
    Ok(bytes)
}

/// The key is part of it, so that values cannot take each other's place.
fn value_crc(key: &str, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key.as_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// Reads everything once: what is damaged is found before this node votes, and not when a follower asks for it. The log is
/// purged, so this is a matter of milliseconds, after the heaviest load of a second.
fn check_records(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::from_sqlite(path, source);
    let mut statement = connection.prepare("SELECT idx, crc, record FROM entry ORDER BY idx").map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    let mut last = None;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let (index, crc): (i64, u32) = (row.get(0).map_err(sqlite)?, row.get(1).map_err(sqlite)?);
        let record = row.get_ref(2).map_err(sqlite)?.as_blob().unwrap_or_default();
        checked(index, crc, record).map_err(|error| Damage::new(path, error.to_string()))?;
        if let Some(last) = last.filter(|last| last + 1 != index) {
            return Err(Damage::new(path, format!("log entries between {last} and {index} are missing")).into());
        }
        last = Some(index);
    }
    let mut statement = connection.prepare("SELECT key, crc, bytes FROM value").map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let (key, crc): (String, u32) = (row.get(0).map_err(sqlite)?, row.get(1).map_err(sqlite)?);
        checked_value(&key, crc, row.get(2).map_err(sqlite)?).map_err(|error| Damage::new(path, error.to_string()))?;
    }
    Ok(())
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

/// What the thread owns.
struct Writer {
    connection: Connection,
    committed: Arc<Mutex<Option<Vec<u8>>>>,
    promises: Promises,
    /// Flushes since these two were written, and when that was.
    unhinted: u32,
    hinted: Instant,
    mark: Mark,
    /// The end of the log on disk.
    end: Option<LogId>,
    checkpoints: Checkpoints,
    sweep: Sweep,
    alarm: Alarm,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut jobs = Vec::new();
        loop {
            let wait = self.sweep.wait();
            match queue.recv_timeout(wait.map_or(HINTS_PAUSE, |wait| wait.min(HINTS_PAUSE))) {
                Ok(first) => {
                    self.sweep.worked();
                    jobs.push(first);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.sweep.wait().is_some_and(|wait| wait.is_zero()) {
                        self.sweep_up();
                    }
                    // Nothing is under way: what is known of the others may be written down now.
                    match self.promises.take_changed() {
                        Some(bytes) => jobs.push(Job::Put { value: Value::Promises, bytes, done: Box::new(drop) }),
                        None => continue,
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            jobs.extend(queue.try_iter().take(LOG_JOBS_MAX));
            if self.alarm.reason().is_none()
                && let Err(error) = self.flush(&jobs)
            {
                self.alarm.raise("cannot write log.db", &error);
            }
            // Asked again behind the flush: nothing is promised once anything in the storage has failed.
            let failed = self.alarm.reason();
            for job in jobs.drain(..) {
                job.done()(failed.as_deref().map_or(Ok(()), |reason| Err(io::Error::other(reason))));
            }
            if failed.is_none()
                && let Err(error) = self.checkpoints.tend(&self.connection)
            {
                self.alarm.raise("cannot write log.db", &error);
            }
        }
    }

    fn sweep_up(&mut self) {
        if self.alarm.reason().is_some() {
            // Nothing is written any more. Jobs are answered, and there are none to wait for.
            self.sweep = Sweep::idle();
        } else if let Err(error) = self.sweep.step(&self.connection) {
            self.alarm.raise("cannot write log.db", &error);
        }
    }

    fn flush(&mut self, jobs: &[Job]) -> rusqlite::Result<()> {
        let transaction = Transaction::begin(&mut self.connection)?;
        let mut end = self.end;
        for job in jobs {
            match job {
                Job::Append { entries, .. } => {
                    let mut insert = transaction
                        .prepare_cached("INSERT OR REPLACE INTO entry (idx, crc, record) VALUES (?1, ?2, ?3)")?;
                    for entry in entries {
                        let record = entry.to_record();
                        insert.execute(params![sql(entry.log_id.index), crc32fast::hash(&record), record])?;
                    }
                    end = end.max(entries.last().map(|entry| entry.log_id));
                }
                Job::Put { value, bytes, .. } => put(&transaction, *value, bytes)?,
                Job::Truncate { from, cut, .. } => {
                    transaction.prepare_cached("DELETE FROM entry WHERE idx >= ?1")?.execute([sql(*from)])?;
                    if let Some(cut) = cut {
                        put(&transaction, Value::Cut, &encode(cut))?;
                        end = end.max(Some(*cut));
                    }
                    self.sweep.stir();
                }
                Job::Purge { upto, purged, .. } => {
                    transaction.prepare_cached("DELETE FROM entry WHERE idx <= ?1")?.execute([sql(*upto)])?;
                    put(&transaction, Value::Purged, purged)?;
                    end = end.max(decode(purged).ok());
                    self.sweep.stir();
                }
            }
        }
        self.unhinted += 1;
        let now = Clock.monotonic();
        if self.unhinted >= FLUSHES_PER_COMMITTED || now.duration_since(self.hinted) >= HINTS_PAUSE {
            let committed = self.committed.lock().expect("nobody panics while holding this lock").take();
            if let Some(bytes) = committed {
                put(&transaction, Value::Committed, &bytes)?;
            }
            if let Some(bytes) = self.promises.take_changed() {
                put(&transaction, Value::Promises, &bytes)?;
            }
            (self.unhinted, self.hinted) = (0, now);
        }
        transaction.commit()?;
        if end != self.end
            && let Some(end) = end
        {
            self.mark.set(end);
        }
        self.end = end;
        Ok(())
    }
}

fn put(connection: &Connection, value: Value, bytes: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO value (key, crc, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![value.key(), value_crc(value.key(), bytes), bytes])
        .map(|_| ())
}

/// Changes a log behind its back.
#[cfg(test)]
pub(crate) fn tamper(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[cfg(test)]
mod tests;
