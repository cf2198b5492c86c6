//! Format of `state.db`: which file it is, which version it has, and the steps that bring an old one forward.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::name_keys;
use super::trouble::{DAMAGED, is_foreign_content, is_other_shape};
use crate::limits::{STATE_CHECK_BYTES_MAX, STATE_FREE_BYTES_MAX};

/// Marks the file as ours (`PRAGMA application_id`): "Smra".
const APPLICATION_ID: i32 = 0x536d_7261;

/// One step per format version, in order; `PRAGMA user_version` counts the steps a file has taken. Released steps
/// never change.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_removed_nodes.sql"),
    include_str!("migrations/0003_changes.sql"),
    include_str!("migrations/0004_bound_addresses.sql"),
    include_str!("migrations/0005_revoked_devices.sql"),
    include_str!("migrations/0006_name_keys.sql"),
];

/// Newest format this build knows.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Size of a page of a new database. A transaction writes every page that it touches to the write-ahead log as a whole, and a
/// lone message touches six with some 20 bytes of news in each: small ones are a quarter of the bytes to write, sum and
/// flush. Databases of earlier releases keep their 4096.
pub(super) const PAGE_BYTES: u32 = 1024;

/// Pages the writing connection caches, in KiB: a batch of a megabyte with its index pages.
const WRITER_CACHE_KIB: u32 = 4096;

/// Pages a reading connection caches, in KiB. The operating system caches the file once for all of them.
const READER_CACHE_KIB: u32 = 1024;

/// What the write-ahead log shrinks to when it starts over, in bytes.
const WAL_BYTES_KEPT: u32 = 16 << 20;

/// Why a state database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not there or may not be read or written.
    #[error("cannot open {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite could not use it.
    #[error("cannot open the state database {path}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The content is damaged.
    #[error("the state database {path} is damaged: {detail}; {DAMAGED}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A database, but of another program.
    #[error("{path} is not a Samira state database; {DAMAGED}")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// A newer release wrote it.
    #[error("{path} has format {found}, this release knows up to {VERSION}: start it with a newer release")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format version.
        found: u32,
    },
}

impl OpenError {
    /// Sorts what SQLite says about `path`: damage is told apart from everything else.
    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
        let path = path.to_owned();
        if is_foreign_content(&source) || is_other_shape(&source) {
            return OpenError::Damaged { path, detail: source.to_string() };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { path, detail: source.to_string() }
            }
            _ => OpenError::Sqlite { path, source },
        }
    }
}

/// Opens `path` for the one connection that writes, makes it if it is not there, and brings it to [`VERSION`].
///
/// # Errors
/// It is damaged, newer, foreign, or not accessible.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    make_private(path).map_err(io)?;
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | no_mutex())
        .map_err(|error| OpenError::from_sqlite(path, error))?;
    prepare_writer(path, &mut connection)?;
    // The first sync of the write-ahead log's content must not find its directory entry missing after a power loss.
    sync_directory(path).map_err(io)?;
    Ok(connection)
}

/// Settings and migrations for a writing connection.
pub(super) fn prepare_writer(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    check_version(path, connection)?;
    // Checkpoints are made by name, never inside a commit, where they would be the slowest requests' delay.
    // An ordinary flush leaves data in the drive's memory on macOS; elsewhere fullfsync means nothing.
    // Foreign keys document the tables; the rules never break them, and checking would double the lookups.
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES};
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA fullfsync = 1;
             PRAGMA checkpoint_fullfsync = 1;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = {WAL_BYTES_KEPT};
             PRAGMA foreign_keys = OFF;
             PRAGMA secure_delete = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA mmap_size = 0;
             PRAGMA cache_size = -{WRITER_CACHE_KIB};"
        ))
        .map_err(sqlite)?;
    // Not when it is closed either, which may be after a flush that failed: the next start moves everything.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(connection, MIGRATIONS).map_err(sqlite)
}

/// Opens `path` for reading beside the writer.
///
/// # Errors
/// It is damaged, newer, older than this build, foreign, or not accessible.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | no_mutex()).map_err(sqlite)?;
    check_version(path, &connection)?;
    connection
        .execute_batch(&format!(
            "PRAGMA temp_store = MEMORY;
             PRAGMA mmap_size = 0;
             PRAGMA cache_size = -{READER_CACHE_KIB};"
        ))
        .map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Each connection stays on one thread at a time, so SQLite need not lock it.
pub(super) fn no_mutex() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Refuses what this build cannot read. An empty file is version 0.
pub(super) fn check_version(path: &Path, connection: &Connection) -> Result<u32, OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(sqlite);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    match u32::try_from(version) {
        Ok(version) if version <= VERSION => Ok(version),
        Ok(found) => Err(OpenError::Newer { path: path.to_owned(), found }),
        Err(_) => Err(OpenError::Damaged { path: path.to_owned(), detail: format!("its format version is {version}") }),
    }
}

/// Looks for damage in the structure of a database that is small enough to read at every start. In a larger one it is found
/// when somebody comes across it.
pub(super) fn check_structure(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > STATE_CHECK_BYTES_MAX) {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| OpenError::from_sqlite(path, error))?;
    if verdict == "ok" {
        return Ok(());
    }
    // Several lines, of which the first only names the database.
    Err(OpenError::Damaged { path: path.to_owned(), detail: verdict.lines().last().unwrap_or_default().to_owned() })
}

/// Writes a database anew of which more than half is free, as it is after very many deletions. In steps it would need an index
/// of all pages, which costs each write a little (`docs/adr/0020-a-received-copy-is-kept-until-it-is-the-state.md`).
pub(super) fn give_back(connection: &Connection) {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(0);
    let (free, pages, page_bytes) = (number("freelist_count"), number("page_count"), number("page_size"));
    if free * page_bytes <= STATE_FREE_BYTES_MAX || free * 2 <= pages {
        return;
    }
    let written = connection.execute_batch("VACUUM").and_then(|()| super::state_copy::begin_anew(connection));
    match written {
        Ok(()) => tracing::info!(bytes = free * page_bytes, "state.db has given its free space back"),
        // There may be no room for it, or no time: nothing depends on it.
        Err(error) => tracing::warn!(%error, "state.db keeps its free space"),
    }
}

/// Takes the steps that `connection` has not taken yet, all or none.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let taken: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = steps.get(taken as usize..).unwrap_or_default();
    if !missing.is_empty() {
        for (step, version) in missing.iter().zip(taken + 1..) {
            transaction.execute_batch(step)?;
            if version == name_keys::SINCE_VERSION {
                name_keys::make_all(&transaction)?;
            }
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", steps.len() as u32)?;
    }
    transaction.commit()
}

/// Makes an empty file that only its owner may read, unless one is there: SQLite gives the files beside it the same
/// mode. Password hashes are in it.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Makes the directory entries beside `path` durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if directory != Path::new("") => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_the_newest_version_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let connection = open_writer(&path).unwrap();
        assert_eq!(check_version(&path, &connection).unwrap(), VERSION);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            for entry in std::fs::read_dir(directory.path()).unwrap() {
                let entry = entry.unwrap();
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
            }
        }
    }

    #[test]
    fn migration_continues_where_the_file_stands() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        connection.execute_batch("INSERT INTO writers VALUES (7, 1, 3)").unwrap();
        let mut steps = MIGRATIONS.to_vec();
        steps.push("ALTER TABLE writers ADD COLUMN note TEXT NOT NULL DEFAULT 'old'");
        migrate(&mut connection, &steps).unwrap();
        migrate(&mut connection, &steps).unwrap();
        let note: String =
            connection.query_row("SELECT note FROM writers WHERE device = 7", [], |row| row.get(0)).unwrap();
        assert_eq!(note, "old");
    }

    #[test]
    fn a_file_of_the_first_format_comes_forward_with_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut old = Connection::open(&path).unwrap();
        migrate(&mut old, &MIGRATIONS[..1]).unwrap();
        old.execute_batch("INSERT INTO writers VALUES (7, 1, 3)").unwrap();
        drop(old);
        let new = open_writer(&path).unwrap();
        let count = |table: &str| -> u32 {
            new.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("writers"), count("removed_nodes")), (1, 0));
    }

    #[test]
    fn what_was_there_before_changes_were_numbered_gets_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut old = Connection::open(&path).unwrap();
        migrate(&mut old, &MIGRATIONS[..2]).unwrap();
        old.execute_batch(
            "INSERT INTO progress VALUES (0, NULL, NULL, x'01', x'00', 3, 3, 12);
             INSERT INTO users VALUES (1, 'a', 'A', 'h', 6, 0, NULL), (2, 'b', 'B', 'h', 6, 0, NULL);
             INSERT INTO conversations VALUES (1, 'a_b', 1, 2, 3, 0), (2, 'a_a', 1, 1, 0, 0);
             INSERT INTO members VALUES (1, 1, 0), (1, 2, 2), (2, 1, 0);
             INSERT INTO messages VALUES (7, 1, 1, 1, 0, 1, 9, 1, 1, ''), (8, 1, 2, 1, 0, 0, 9, 1, 2, 'x'),
                                         (11, 1, 3, 1, 0, 0, 9, 1, 3, 'y');",
        )
        .unwrap();
        drop(old);
        let new = open_writer(&path).unwrap();
        let numbers = |query: &str| -> Vec<i64> {
            let mut statement = new.prepare(query).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(numbers("SELECT changed FROM conversations ORDER BY id"), [7, 0]);
        assert_eq!(numbers("SELECT delivered_mark FROM members ORDER BY conversation, user"), [0, 2, 0]);
        assert_eq!(numbers("SELECT changed + cleared + cleared_changed FROM members"), [0, 0, 0]);
        assert_eq!(numbers("SELECT changed FROM messages UNION ALL SELECT changed FROM users"), [0; 5]);
        assert_eq!(numbers("SELECT count(*) FROM devices"), [0]);
    }

    #[test]
    fn names_from_before_they_had_keys_are_found_and_rest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut old = Connection::open(&path).unwrap();
        migrate(&mut old, &MIGRATIONS[..5]).unwrap();
        old.execute_batch(
            "INSERT INTO users VALUES (1, 'Zoë', 'Zoë Müller', 'h', 6, 0, NULL, 0), (2, 'Ann', 'A', 'h', 6, 0, NULL, 0),
                                      (3, 'ann', 'B', 'h', 6, 0, NULL, 0), (4, '#1', 'C', 'h', 6, 0, NULL, 0),
                                      (5, 'Bob', 'D', NULL, 6, 0, 1000, 0);",
        )
        .unwrap();
        drop(old);
        let new = crate::storage::state::StateDb::open(&path).unwrap();
        let reader = crate::storage::query::StateReader::open(&path).unwrap();
        let found = |name: &str| reader.account_found(name).unwrap().map(|account| account.id);
        // To the letter whatever there is beside it, by the key where that is clear.
        for (name, expected) in [
            ("Zoë", Some(1)),
            ("ZOË", Some(1)),
            ("Ann", Some(2)),
            ("ann", Some(3)),
            ("ANN", None),
            ("#1", Some(4)),
            ("bob", None),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
        let (people, total) = reader.people(&wire::names::Pattern::parse("muller"), 0, 9).unwrap();
        assert_eq!((people[0].user, total), (1, 1));
        let connection = Connection::open(&path).unwrap();
        let held = |name: &str, since| {
            let keys = wire::names::Keys::of(name);
            name_keys::is_held(&connection, (&keys.fold, &keys.skeleton), since).unwrap()
        };
        assert!(held("BOB", 999) && !held("BOB", 1000) && held("аnn", 0));
        drop(new);
    }

    #[test]
    fn a_failing_step_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        let steps = [MIGRATIONS, &["CREATE TABLE fresh (x); SELECT nonsense"]].concat();
        migrate(&mut connection, &steps).unwrap_err();
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, VERSION);
        let fresh: u32 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'fresh'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(fresh, 0);
    }

    #[test]
    fn foreign_newer_and_damaged_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);

        Connection::open(path("foreign")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(open_writer(&path("foreign")), Err(OpenError::Foreign { .. })));

        drop(open_writer(&path("newer")).unwrap());
        Connection::open(path("newer")).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(open_writer(&path("newer")), Err(OpenError::Newer { found, .. }) if found == VERSION + 1));

        std::fs::write(path("damaged"), vec![0x5a; 8192]).unwrap();
        assert!(matches!(open_writer(&path("damaged")), Err(OpenError::Damaged { .. })));

        assert!(matches!(open_reader(&path("missing")), Err(OpenError::Sqlite { .. })));
    }
}
