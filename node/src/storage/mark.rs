//! How a data directory notices by itself that it is not what it was.
//!
//! [`Mark`] is a small file beside the log with the log's last flushed end. It is written behind each flush and never
//! flushed itself: it outlives the process, and after a loss of power it is at most behind. A log that ends before its mark
//! has lost its write-ahead log, or was replaced by an older file.
//!
//! [`FileId`] says which file `log.db` is. A copy is another file, and whoever starts from one may have forgotten
//! promises.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use wire::replication::entry::LogId;
use wire::replication::{decode, encode};

/// Bytes of the file: a checksum, a length, and a log id in its longest form.
const BYTES: usize = 48;

/// The end of the log, in a file of its own.
#[derive(Debug)]
pub(super) struct Mark {
    /// None where it cannot be written: then nothing is noticed, and nothing else fails.
    file: Option<File>,
}

impl Mark {
    /// Opens the mark of the log at `log` and reads it. `None` when there is none, or none that can be read.
    pub(super) fn open(log: &Path) -> (Self, Option<LogId>) {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path(log));
        let Ok(file) = file else { return (Mark { file: None }, None) };
        let mut bytes = [0; BYTES];
        let read = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| parse(&bytes));
        (Mark { file: Some(file) }, read)
    }

    /// The log is on disk up to there.
    pub(super) fn set(&mut self, end: LogId) {
        let content = encode(&end);
        let mut bytes = [0; BYTES];
        bytes[4] = u8::try_from(content.len()).expect("three numbers are short");
        bytes[5..5 + content.len()].copy_from_slice(&content);
        let crc = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        // A full or failing disk says so where it matters.
        if self.file.as_ref().is_some_and(|file| file.write_all_at(&bytes, 0).is_err()) {
            self.file = None;
        }
    }
}

fn parse(bytes: &[u8; BYTES]) -> Option<LogId> {
    let crc = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
    let content = bytes[5..].get(..usize::from(bytes[4]))?;
    (crc == crc32fast::hash(&bytes[4..])).then(|| decode(content).ok()).flatten()
}

fn path(log: &Path) -> PathBuf {
    log.with_extension("mark")
}

/// Which file this is, as far as the system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileId {
    inode: u64,
    /// When it was made, seconds and nanoseconds since 1970, where the file system keeps that.
    born: Option<(u64, u32)>,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<FileId> {
        let metadata = std::fs::metadata(path)?;
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(FileId { inode: metadata.ino(), born: born.map(|since| (since.as_secs(), since.subsec_nanos())) })
    }

    /// Whether both are one file. The time of birth decides where it is known: no program can set it, while some file
    /// systems number their files anew each time they are mounted. The device's number is left out, for it may change at
    /// each start of a machine.
    pub(super) fn is_same(&self, other: &FileId) -> bool {
        match (self.born, other.born) {
            (Some(one), Some(two)) => one == two,
            _ => self.inode == other.inode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_a_torn_one_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log.db");
        let end = LogId { term: u64::MAX, node: u64::MAX, index: u64::MAX };
        let (mut mark, read) = Mark::open(&log);
        assert_eq!(read, None);
        mark.set(end);
        assert_eq!(Mark::open(&log).1, Some(end));
        let mut bytes = std::fs::read(path(&log)).unwrap();
        bytes[9] ^= 1;
        std::fs::write(path(&log), bytes).unwrap();
        assert_eq!(Mark::open(&log).1, None);
        std::fs::write(path(&log), "").unwrap();
        assert_eq!(Mark::open(&log).1, None);
    }

    #[test]
    fn a_copy_is_another_file_and_a_renamed_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = ["1", "2"].map(|name| directory.path().join(name));
        std::fs::write(&one, "x").unwrap();
        let id = FileId::of(&one).unwrap();
        std::fs::rename(&one, &two).unwrap();
        assert!(id.is_same(&FileId::of(&two).unwrap()));
        let known = |inode, born| FileId { inode, born };
        let born = Some((1_700_000_000, 5));
        assert!(!known(7, born).is_same(&known(7, Some((1_700_000_000, 6)))), "a copy that has got a freed number");
        assert!(known(7, born).is_same(&known(8, born)), "numbered anew by another mount");
        assert!(known(7, None).is_same(&known(7, born)));
        assert!(!known(7, None).is_same(&known(8, None)));
    }
}
