//! Copies of the state database on their way between nodes, and the checkpoint that stands for a local snapshot.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use wire::limits::SNAPSHOT_CHUNK_BYTES;
use wire::replication::entry::{LogId, Membership};

use super::apply::Position;
use super::state::{Checkpointer, CopyInfo, OpenError, copy_to};
use super::state_copy::Removed;
use super::trouble::Alarm;

pub use super::state::CopyError;

/// Prefix of the files made here, so that leftovers of a crash are found.
const PREFIX: &str = "snapshot-";

/// A node that lacks entries nobody has any more, and the room for a copy instead, would ask for it for ever.
const NO_PLACE: &str = "cannot write a snapshot that arrives";

/// The state database as a source of snapshots, beside the apply thread.
#[derive(Debug)]
pub struct StateFiles {
    state: PathBuf,
    directory: PathBuf,
    checkpointer: Mutex<Checkpointer>,
    counter: AtomicU64,
    alarm: Alarm,
}

impl StateFiles {
    /// Beside an open database at `state`. Removes what a crash left over. Failures of the disk are told to `alarm`.
    ///
    /// # Errors
    /// The database cannot be opened a second time.
    pub fn open(state: &Path, alarm: Alarm) -> Result<Self, OpenError> {
        let directory = state.parent().unwrap_or(Path::new(".")).to_owned();
        for leftover in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if leftover.file_name().to_string_lossy().starts_with(PREFIX) {
                // If it cannot be removed it is only in the way of disk space.
                let _ = fs::remove_file(leftover.path());
            }
        }
        let checkpointer = Mutex::new(Checkpointer::open(state)?);
        Ok(StateFiles { state: state.to_owned(), directory, checkpointer, counter: AtomicU64::new(0), alarm })
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
        let path = self.new_path();
        let removed = Removed(path.clone());
        let info = copy_to(&self.state, &path)?;
        let io = |source| CopyError::Io { path: path.clone(), source };
        let (bytes, sha256) = digest(&path).map_err(io)?;
        Ok(SnapshotFile { file: removed, info: Some(info), bytes, sha256 })
    }

    /// A place for a copy that arrives.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn receive(&self, bytes: u64, sha256: [u8; 32]) -> io::Result<Receiving> {
        let path = self.new_path();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.inspect_err(|error| self.alarm.raise(NO_PLACE, error))?;
        let alarm = self.alarm.clone();
        Ok(Receiving { file, path: Removed(path), hash: Sha256::new(), received: 0, bytes, sha256, alarm })
    }

    fn new_path(&self) -> PathBuf {
        self.directory.join(format!("{PREFIX}{}.tmp", self.counter.fetch_add(1, Ordering::Relaxed)))
    }
}

/// A complete copy in a file of its own, removed when dropped.
#[derive(Debug)]
pub struct SnapshotFile {
    file: Removed,
    info: Option<CopyInfo>,
    bytes: u64,
    sha256: [u8; 32],
}

impl SnapshotFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.0
    }

    /// The last entry applied to it; known for copies made here.
    pub fn applied(&self) -> Option<LogId> {
        self.info.as_ref().and_then(|info| info.applied)
    }

    /// Its members and the entry that named them; known for copies made here.
    pub fn membership(&self) -> (Option<LogId>, Membership) {
        self.info.as_ref().map(|info| (info.membership_log_id, info.membership.clone())).unwrap_or_default()
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

/// A copy that is arriving.
#[derive(Debug)]
pub struct Receiving {
    file: File,
    path: Removed,
    hash: Sha256,
    received: u64,
    bytes: u64,
    sha256: [u8; 32],
    alarm: Alarm,
}

impl Receiving {
    /// Takes the next part.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.hash.update(part);
        self.received += part.len() as u64;
        self.file.write_all(part).inspect_err(|error| self.alarm.raise(NO_PLACE, error))
    }

    /// Checks size and hash.
    ///
    /// # Errors
    /// It is not what its header announced, or the disk's.
    pub fn finish(self) -> io::Result<SnapshotFile> {
        let sha256: [u8; 32] = self.hash.finalize().into();
        if self.received != self.bytes || sha256 != self.sha256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the snapshot was damaged on its way"));
        }
        self.file.sync_all().inspect_err(|error| self.alarm.raise(NO_PLACE, error))?;
        Ok(SnapshotFile { file: self.path, info: None, bytes: self.bytes, sha256 })
    }
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
