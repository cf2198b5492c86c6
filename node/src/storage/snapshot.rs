//! Copies of the state database on their way between nodes, and the checkpoint that stands for a local snapshot.
//!
//! A copy that arrives is written into `received.part`, checked in full, flushed, and renamed to `received.db` before
//! openraft learns of it: openraft drops its log as soon as it has handed a snapshot on, and acknowledges later entries
//! while the state still takes the copy in. From the renaming on a crash at any point loses nothing, because the next
//! start finishes what was begun ([`finish_received`]). The file goes when the state holds its content durably.
//! `docs/adr/0020-a-received-copy-is-kept-until-it-is-the-state.md` says more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use wire::limits::SNAPSHOT_CHUNK_BYTES;
use wire::replication::entry::{LogId, Membership};

use super::apply::Position;
use super::log::LogStore;
use super::room::{self, NoRoom};
use super::schema;
use super::state::{Checkpointer, CopyInfo, OpenError, StateDb, copy_to};
use super::state_copy::{self, Removed};
use super::trouble::{self, Alarm};

pub use super::state::CopyError;

/// Prefix of the copies made here, so that leftovers of a crash are found.
const PREFIX: &str = "snapshot-";

/// A copy that is arriving.
const PART: &str = "received.part";

/// A copy that has arrived whole and may not be in the state yet.
const KEPT: &str = "received.db";

const CANNOT_KEEP: &str = "cannot write a snapshot that arrives";

/// The state database as a source and a target of snapshots, beside the apply thread.
#[derive(Debug)]
pub struct StateFiles {
    state: PathBuf,
    directory: PathBuf,
    checkpointer: Mutex<Checkpointer>,
    counter: AtomicU64,
    arrivals: Arc<Mutex<Arrivals>>,
    alarm: Alarm,
}

/// Only one copy arrives at a time, and only one is kept: that bounds the space they take.
#[derive(Debug, Default)]
struct Arrivals {
    /// One is being written.
    arriving: bool,
    /// The one that is kept.
    kept: Option<Kept>,
    /// Numbers them.
    last_id: u64,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    applied: Option<LogId>,
    /// Somebody may still read its file.
    in_use: bool,
}

/// Why a copy that arrives was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Another one is on its way, or not yet in the state.
    #[error("another copy of the state is being taken in")]
    Busy,
    /// The disk is too full.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// It is not what was announced.
    #[error("the copy is not what was announced: {0}")]
    Differs(&'static str),
    /// It cannot be used.
    #[error("the copy cannot be used: {}", crate::report::chain(.0))]
    Unusable(#[source] OpenError),
    /// The file system's, or the link's.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a copy has to be, from the header in front of it.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// The last entry applied to it.
    pub applied: Option<LogId>,
    /// Its members, and the entry that named them.
    pub membership: (Option<LogId>, Membership),
}

impl StateFiles {
    /// Beside an open database at `state`. Removes what a crash left over; [`finish_received`] comes before. Failures of the
    /// disk are told to `alarm`.
    ///
    /// # Errors
    /// The database cannot be opened a second time.
    pub fn open(state: &Path, alarm: Alarm) -> Result<Self, OpenError> {
        let directory = directory_of(state);
        for leftover in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = leftover.file_name();
            let name = name.to_string_lossy();
            if [PREFIX, PART, KEPT].iter().any(|prefix| name.starts_with(prefix)) {
                // If it cannot be removed it is only in the way of disk space.
                let _ = fs::remove_file(leftover.path());
            }
        }
        let checkpointer = Mutex::new(Checkpointer::open(state)?);
        let (counter, arrivals) = (AtomicU64::new(0), Arc::default());
        Ok(StateFiles { state: state.to_owned(), directory, checkpointer, counter, arrivals, alarm })
    }

    /// Makes everything applied so far durable and says what that is. Blocks on the disk.
    ///
    /// # Errors
    /// SQLite or the disk failed.
    pub fn checkpoint(&self) -> Result<Position, CopyError> {
        let checkpoint = self.checkpointer.lock().expect("nobody panics while holding this lock").checkpoint();
        let info = checkpoint.inspect_err(|error| self.alarm.raise("cannot write state.db", error))?;
        Ok((info.applied, (info.membership_log_id, info.membership)))
    }

    /// A consistent copy. Blocks while it is written. A disk without room for it is no reason to stop: a follower waits
    /// longer, that is all.
    ///
    /// # Errors
    /// The database cannot be read or the copy not written.
    pub fn copy(&self) -> Result<SnapshotFile, CopyError> {
        self.try_copy().inspect_err(|error| {
            let error = crate::report::chain(error);
            tracing::error!(error, "cannot make a copy of state.db for a server that lacks it");
        })
    }

    fn try_copy(&self) -> Result<SnapshotFile, CopyError> {
        let path = self.directory.join(format!("{PREFIX}{}.tmp", self.counter.fetch_add(1, Ordering::Relaxed)));
        let removed = Removed(path.clone());
        let info = copy_to(&self.state, &path)?;
        let io = |source| CopyError::Io { path: path.clone(), source };
        let (bytes, sha256) = digest(&path).map_err(io)?;
        Ok(SnapshotFile { path, held: Held::Made { _file: removed }, info: info.into(), bytes, sha256 })
    }

    /// A place for a copy that arrives.
    ///
    /// # Errors
    /// Another one is under way, there is no room, or the file cannot be made.
    pub fn receive(&self, announced: Announced) -> Result<Receiving, ReceiveError> {
        let arriving = Arriving::begin(&self.arrivals)?;
        room::check(&self.directory, room::to_receive(announced.bytes, &self.state))?;
        let path = Removed(self.directory.join(PART));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path.0);
        let receiving = Receiving {
            file: file.map_err(|error| self.failed(announced.bytes, error))?,
            path,
            hash: Sha256::new(),
            received: 0,
            room: room::to_receive(announced.bytes, &self.state),
            announced,
            arriving,
            kept: self.directory.join(KEPT),
            alarm: self.alarm.clone(),
        };
        Ok(receiving)
    }

    fn failed(&self, bytes: u64, error: io::Error) -> ReceiveError {
        write_failed(&self.alarm, &self.directory, room::to_receive(bytes, &self.state), error)
    }

    /// Drops the kept copy of this number, if there is still one: its content is durable in the state, or openraft had no
    /// use for it.
    pub fn release(&self, kept: Option<u64>) {
        let mut arrivals = self.arrivals.lock().expect("nobody panics while holding this lock");
        if kept.is_some() && arrivals.kept.as_ref().map(|kept| kept.id) == kept {
            // If it stays, the next start finds it older than the state, and removes it.
            let _ = fs::remove_file(self.directory.join(KEPT));
            arrivals.kept = None;
        }
    }
}

/// Tells a full disk, which ends when space is made, from one that fails. The first is no reason to stop: this node has
/// promised nothing of the copy.
fn write_failed(alarm: &Alarm, directory: &Path, room: u64, error: io::Error) -> ReceiveError {
    if trouble::is_full(&error) {
        return NoRoom::new(directory, room).into();
    }
    alarm.raise(CANNOT_KEEP, &error);
    error.into()
}

fn directory_of(state: &Path) -> PathBuf {
    match state.parent() {
        Some(directory) if directory != Path::new("") => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What becomes of the file of a copy when nobody needs it any more.
#[derive(Debug)]
enum Held {
    /// Made here: it is removed.
    Made { _file: Removed },
    /// Received: it stays until it is released, even when this process ends before that.
    Kept { id: u64, arrivals: Arc<Mutex<Arrivals>> },
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Held::Kept { id, arrivals } = self {
            let mut arrivals = arrivals.lock().expect("nobody panics while holding this lock");
            if let Some(kept) = arrivals.kept.as_mut().filter(|kept| kept.id == *id) {
                kept.in_use = false;
            }
        }
    }
}

/// A complete copy in a file of its own.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    held: Held,
    info: Box<CopyInfo>,
    bytes: u64,
    sha256: [u8; 32],
}

impl SnapshotFile {
    /// Its number, if it was received: for [`StateFiles::release`].
    pub fn kept(&self) -> Option<u64> {
        match &self.held {
            Held::Made { .. } => None,
            Held::Kept { id, .. } => Some(*id),
        }
    }

    /// Its place in the file system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last entry applied to it.
    pub fn applied(&self) -> Option<LogId> {
        self.info.applied
    }

    /// Its members and the entry that named them.
    pub fn membership(&self) -> (Option<LogId>, Membership) {
        (self.info.membership_log_id, self.info.membership.clone())
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of its content.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// For reading.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(&self) -> io::Result<File> {
        File::open(self.path())
    }
}

/// The right to receive, given back when dropped.
#[derive(Debug)]
struct Arriving(Arc<Mutex<Arrivals>>);

impl Arriving {
    fn begin(arrivals: &Arc<Mutex<Arrivals>>) -> Result<Self, ReceiveError> {
        let mut now = arrivals.lock().expect("nobody panics while holding this lock");
        if now.arriving || now.kept.as_ref().is_some_and(|kept| kept.in_use) {
            return Err(ReceiveError::Busy);
        }
        now.arriving = true;
        Ok(Arriving(arrivals.clone()))
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.lock().expect("nobody panics while holding this lock").arriving = false;
    }
}

/// A copy that is arriving. What has come of it is removed when this is dropped.
#[derive(Debug)]
pub struct Receiving {
    file: File,
    path: Removed,
    hash: Sha256,
    received: u64,
    room: u64,
    announced: Announced,
    arriving: Arriving,
    kept: PathBuf,
    alarm: Alarm,
}

impl Receiving {
    /// Takes the next part.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, part: &[u8]) -> Result<(), ReceiveError> {
        self.hash.update(part);
        self.received += part.len() as u64;
        self.file.write_all(part).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> ReceiveError {
        write_failed(&self.alarm, &directory_of(&self.kept), self.room, error)
    }

    /// Checks the whole copy, and keeps it durably under the name that the next start looks for. Blocks on the disk.
    ///
    /// # Errors
    /// It is not what its header announced, it cannot be used, or the disk's.
    pub fn finish(mut self) -> Result<SnapshotFile, ReceiveError> {
        let sha256: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        if self.received != self.announced.bytes || sha256 != self.announced.sha256 {
            return Err(ReceiveError::Differs("it was damaged on its way"));
        }
        self.file.sync_all().map_err(|error| self.failed(error))?;
        let info = state_copy::check(&self.path.0).map_err(ReceiveError::Unusable)?;
        if info.applied != self.announced.applied {
            return Err(ReceiveError::Differs("it stands at another entry"));
        }
        if (info.membership_log_id, &info.membership) != (self.announced.membership.0, &self.announced.membership.1) {
            return Err(ReceiveError::Differs("it names other members"));
        }
        let mut arrivals = self.arriving.0.lock().expect("nobody panics while holding this lock");
        // It may be what a process that is about to end will need at its next start.
        if arrivals.kept.as_ref().is_some_and(|kept| kept.applied > info.applied) {
            return Err(ReceiveError::Differs("it is older than one that came before"));
        }
        fs::rename(&self.path.0, &self.kept).map_err(|error| self.failed(error))?;
        arrivals.last_id += 1;
        let id = arrivals.last_id;
        arrivals.kept = Some(Kept { id, applied: info.applied, in_use: true });
        drop(arrivals);
        let held = Held::Kept { id, arrivals: self.arriving.0.clone() };
        schema::sync_directory(&self.kept).map_err(|error| self.failed(error))?;
        Ok(SnapshotFile { path: self.kept.clone(), held, info: info.into(), bytes: self.announced.bytes, sha256 })
    }
}

/// Finishes what an earlier process began: a whole copy that is ahead of the state is installed, and the log follows. Any
/// other is removed.
///
/// # Errors
/// The copy is of a newer release, or cannot be installed.
pub fn finish_received(state: &mut StateDb, path: &Path, log: &LogStore) -> Result<(), CopyError> {
    let directory = directory_of(path);
    let kept = directory.join(KEPT);
    if !kept.exists() {
        return Ok(());
    }
    let removed = Removed(kept.clone());
    let bytes = fs::metadata(&kept).map_or(0, |file| file.len());
    match state_copy::check(&kept) {
        Ok(info) if info.applied.map(|id| id.index) > state.applied().map(|id| id.index) => {
            let installed = state.install_checked(&kept);
            if let Err(error) = installed {
                // It is needed again.
                std::mem::forget(removed);
                return Err(match trouble::is_full(&error) {
                    true => CopyError::NoRoom(NoRoom::new(&directory, room::to_install(bytes, path))),
                    false => error,
                });
            }
            tracing::info!(index = info.applied.map(|id| id.index), "a copy of the state that had arrived is taken in");
        }
        Ok(_) => {}
        Err(error @ (OpenError::Newer { .. } | OpenError::Io { .. } | OpenError::Sqlite { .. })) => {
            std::mem::forget(removed);
            return Err(CopyError::Unusable(error));
        }
        // Torn, although it was flushed. The cluster has another one.
        Err(error) => tracing::warn!(error = crate::report::chain(&error), "a copy that had arrived is thrown away"),
    }
    if let Err(source) = log.agree_with(state.applied()) {
        std::mem::forget(removed);
        return Err(CopyError::Io { path: directory.join("log.db"), source });
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; SNAPSHOT_CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((bytes, hash.finalize().into()));
        }
        hash.update(&chunk[..read]);
        bytes += read as u64;
    }
}
