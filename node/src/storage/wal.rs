//! Whether the write-ahead log of `log.db` lacks something that was flushed.
//!
//! SQLite takes the first frame that does not fit for the end, and silently forgets what is behind: right after a crash,
//! wrong when a disk has damaged what it had confirmed. The entries behind it would be gone although they were promised, and
//! votes with them. The two can be told apart because the log thread flushes each transaction before it begins the next:
//! what a crash tears is the last one. A frame that does not fit, with another transaction whole behind it, is damage.
//!
//! That is so only for a file which is flushed like that and begins anew at each start ([`super::log`] sees to both).
//! Damage to the very last transaction looks like a torn one and is not found here.
//!
//! Format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The last bit says how the checksums read their words.
const MAGIC: u32 = 0x377f_0682;

/// SQLite's page sizes.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 512..=65536;

/// Running checksum; each frame continues that of the frame before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn add(self, bytes: &[u8], big_endian: bool) -> Sum {
        let word = |bytes: &[u8]| {
            let bytes = bytes.try_into().expect("chunks of four");
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        bytes.chunks_exact(8).fold(self, |Sum(a, b), pair| {
            let a = a.wrapping_add(word(&pair[..4])).wrapping_add(b);
            Sum(a, b.wrapping_add(word(&pair[4..])).wrapping_add(a))
        })
    }

    fn stored(bytes: &[u8]) -> Sum {
        Sum(be(&bytes[..4]), be(&bytes[4..8]))
    }
}

fn be(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// What is damaged in the write-ahead log at `path`, if anything is. A file that is not there is whole.
///
/// # Errors
/// The file cannot be read.
pub(super) fn damage(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => scan(BufReader::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn scan(mut wal: impl Read) -> io::Result<Option<String>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut wal, &mut header)? || header == [0; HEADER_BYTES] {
        return Ok(None);
    }
    let magic = be(&header[..4]);
    let page_bytes = be(&header[8..12]) as usize;
    let big_endian = magic & 1 == 1;
    let mut sum = Sum(0, 0).add(&header[..24], big_endian);
    if magic & !1 != MAGIC || !PAGE_BYTES.contains(&page_bytes) || sum != Sum::stored(&header[24..]) {
        // It lies in one sector, which a crash leaves old or new.
        return Ok(Some("the header of its write-ahead log does not fit its checksum".into()));
    }
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    // The first frame that does not fit, and whether its transaction has ended since.
    let mut broken: Option<(u64, bool)> = None;
    for number in 1.. {
        if !fill(&mut wal, &mut frame)? {
            break;
        }
        let of_now = frame[8..16] == *salts;
        let commits = be(&frame[4..8]) != 0;
        let found = sum.add(&frame[..8], big_endian).add(&frame[FRAME_HEADER_BYTES..], big_endian);
        // What the next one continues: if this one is damaged, the sum it was stored with is still the best guess.
        sum = Sum::stored(&frame[16..24]);
        let whole = of_now && found == sum;
        match &mut broken {
            None if whole => {}
            None => broken = Some((number, of_now && commits)),
            Some((first, true)) if whole => {
                return Ok(Some(format!(
                    "frame {first} of its write-ahead log does not fit its checksum, though later ones do"
                )));
            }
            Some((_, ended)) => *ended |= of_now && commits,
        }
    }
    Ok(None)
}

/// Whether there were enough bytes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match source.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    const TRANSACTIONS: usize = 6;

    /// A write-ahead log as SQLite writes it, and its frame size.
    fn sample() -> (Vec<u8>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sample.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
            .unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        for number in 0..TRANSACTIONS {
            // More than one page each.
            connection.execute("INSERT INTO t VALUES (?1)", [vec![number as u8; 6000]]).unwrap();
        }
        let wal = std::fs::read(directory.path().join("sample.db-wal")).unwrap();
        let page = be(&wal[8..12]) as usize;
        (wal, page + FRAME_HEADER_BYTES)
    }

    #[test]
    fn a_whole_log_and_each_torn_end_of_it_are_fine() {
        let (wal, frame) = sample();
        assert_eq!(scan(&wal[..]).unwrap(), None);
        for length in (0..wal.len()).step_by(97) {
            if length == 0 || length >= HEADER_BYTES {
                assert_eq!(scan(&wal[..length]).unwrap(), None, "cut at {length}");
            }
        }
        // The last transaction, whose flush never returned.
        let mut torn = wal.clone();
        let last = wal.len() - frame + FRAME_HEADER_BYTES;
        torn[last] ^= 1;
        assert_eq!(scan(&torn[..]).unwrap(), None);
        // Frames of an earlier round behind the end.
        let mut reused = wal.clone();
        let third = HEADER_BYTES + 2 * frame;
        for at in (third..wal.len()).step_by(frame) {
            reused[at + 8] ^= 0xff;
        }
        assert_eq!(scan(&reused[..]).unwrap(), None);
    }

    #[test]
    fn a_flipped_bit_in_what_was_flushed_is_found_wherever_it_is() {
        let (wal, frame) = sample();
        let frames = (wal.len() - HEADER_BYTES) / frame;
        let per_transaction = frames / TRANSACTIONS;
        // The last transaction cannot be told from a torn one; the one before it can.
        let flushed = HEADER_BYTES + (frames - 2 * per_transaction - 1) * frame;
        for at in (0..HEADER_BYTES).chain((HEADER_BYTES..flushed).step_by(31)) {
            let mut damaged = wal.clone();
            damaged[at] ^= 0x10;
            assert!(scan(&damaged[..]).unwrap().is_some(), "bit {at} of {flushed} was flipped");
        }
    }
}
