//! Whether a disk has room for a copy of the state that arrives.
//!
//! A copy is on the disk up to three times before its own file can go: as a file, as pages in the write-ahead log of
//! `state.db`, and in `state.db`, as far as that grows. A database of a release with other pages needs a fourth one, of
//! pages as large as its own.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::schema::PAGE_BYTES;
use super::state_copy::wal_path;
use crate::limits::ROOM_KEPT_BYTES;

/// There is no room for a copy. It is asked for again by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk of {} is too full to take in a copy of the cluster's state: free {} more; it is asked for again by itself",
    directory.display(), bytes(*missing)
)]
pub struct NoRoom {
    directory: PathBuf,
    missing: u64,
}

impl NoRoom {
    /// In `directory`, where `room` bytes are needed. A disk that is full says so whatever it counted before.
    pub(super) fn new(directory: &Path, room: u64) -> Self {
        let missing = room.saturating_sub(free(directory).unwrap_or(0)).max(ROOM_KEPT_BYTES);
        NoRoom { directory: directory.to_owned(), missing }
    }
}

/// Bytes needed to receive a copy of that size and to install it into the database at `state`.
pub(super) fn to_receive(copy: u64, state: &Path) -> u64 {
    to_install(copy, state).saturating_add(copy)
}

/// Bytes needed to install a received copy of that size into the database at `state`.
pub(super) fn to_install(copy: u64, state: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    // Each page has a small header there.
    let wal = (copy + copy / 32).saturating_sub(length(&wal_path(state)));
    let growth = copy.saturating_sub(length(state));
    // See [`super::state_copy`]: a copy with other pages is converted first.
    let converted = if other_pages(state) { copy } else { 0 };
    wal + growth + converted + ROOM_KEPT_BYTES
}

/// Whether the database at `state` has pages of another size than new ones have.
fn other_pages(state: &Path) -> bool {
    // <https://sqlite.org/fileformat2.html#the_database_header>
    let mut header = [0; 18];
    let read = std::fs::File::open(state).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && u32::from(u16::from_be_bytes([header[16], header[17]])) != PAGE_BYTES
}

/// # Errors
/// There is less than `room` in `directory`.
pub(super) fn check(directory: &Path, room: u64) -> Result<(), NoRoom> {
    match free(directory) {
        Some(free) if free < room => Err(NoRoom::new(directory, room)),
        // Unknown: writing will show it.
        _ => Ok(()),
    }
}

/// Bytes that may still be written in `directory`.
fn free(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// For people: in whole mebibytes, rounded up.
fn bytes(count: u64) -> String {
    format!("{} MiB", count.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_mebibytes() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state.db");
        check(directory.path(), to_receive(1000, &state)).unwrap();
        let said = check(directory.path(), to_receive(1 << 50, &state)).unwrap_err().to_string();
        assert!(said.contains("MiB more") && said.contains(&directory.path().display().to_string()), "{said}");
        assert_eq!(bytes(1), "1 MiB");
        assert_eq!(bytes(3 << 20), "3 MiB");
    }

    #[test]
    fn a_copy_needs_room_for_itself_the_pages_on_their_way_and_the_database() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state.db");
        assert_eq!(to_receive(32 << 20, &state), (97 << 20) + ROOM_KEPT_BYTES);
        // What is there already is written over.
        let mut database = vec![0; 1 << 20];
        database[16..18].copy_from_slice(&1024_u16.to_be_bytes());
        std::fs::write(&state, &database).unwrap();
        assert_eq!(to_install(32 << 20, &state), (64 << 20) + ROOM_KEPT_BYTES);
        database[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        std::fs::write(&state, &database).unwrap();
        assert_eq!(to_install(32 << 20, &state), (96 << 20) + ROOM_KEPT_BYTES);
    }
}
