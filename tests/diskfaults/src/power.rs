//! A power failure: what was written and not flushed is gone.
//!
//! Before each write the bytes it replaces are kept, until a flush of the same file. A cut puts them back, newest first,
//! and kills the process. With a seed it puts only some sectors back: a disk may have taken any of them already.

use std::collections::HashMap;
use std::ffi::c_int;

use libc::off_t;

use crate::sys::{self, Watched};

/// A disk takes this many bytes wholly or not at all.
const SECTOR: usize = 512;

/// What one write has replaced.
#[derive(Debug)]
struct Replaced {
    offset: off_t,
    /// Where the file ended before, zeros stand for what was not there.
    bytes: Vec<u8>,
}

/// One file with writes that no flush has covered.
#[derive(Debug)]
struct Unflushed {
    path: Vec<u8>,
    inode: libc::ino_t,
    /// Of the file when it was last flushed, or first seen.
    length: off_t,
    writes: Vec<Replaced>,
}

/// Everything a power failure would take, by name of the file.
#[derive(Debug)]
pub(crate) struct Power {
    files: Option<HashMap<Vec<u8>, Unflushed>>,
}

impl Power {
    pub(crate) const fn new() -> Self {
        Power { files: None }
    }

    /// Keeps what a write of `count` bytes at `offset` will replace.
    pub(crate) fn before_write(&mut self, fd: c_int, file: &Watched, offset: off_t, count: usize) {
        let Some(mut bytes) = sys::content(fd, offset, count) else { return };
        bytes.resize(count, 0);
        let files = self.files.get_or_insert_with(HashMap::new);
        let fresh =
            || Unflushed { path: file.path.clone(), inode: file.inode, length: file.length, writes: Vec::new() };
        let unflushed = files.entry(file.name.clone()).or_insert_with(fresh);
        if unflushed.inode != file.inode {
            // A new file of the same name: the old one is gone from its directory.
            *unflushed = fresh();
        }
        unflushed.writes.push(Replaced { offset, bytes });
    }

    /// Nothing of this file can be lost any more.
    pub(crate) fn flushed(&mut self, file: &Watched) {
        if let Some(files) = &mut self.files {
            files.remove(&file.name);
        }
    }

    /// Takes what is not flushed, and the process with it. With `seed` 0 everything is taken.
    pub(crate) fn cut(&mut self, seed: u64) -> ! {
        for file in self.files.iter().flat_map(HashMap::values) {
            for (number, write) in file.writes.iter().enumerate().rev() {
                let mut offset = write.offset;
                let lost: Vec<(off_t, &[u8])> = write
                    .bytes
                    .chunks(SECTOR)
                    .map(|sector| {
                        let at = offset;
                        offset += off_t::try_from(sector.len()).unwrap_or(0);
                        (at, sector)
                    })
                    .filter(|(at, _)| seed == 0 || is_lost(seed, number, *at))
                    .collect();
                sys::restore(&file.path, file.inode, &lost, None);
            }
            if seed == 0 {
                sys::restore(&file.path, file.inode, &[], Some(file.length));
            }
        }
        sys::die()
    }
}

/// One of two, decided by all bits of what is asked (SplitMix64).
fn is_lost(seed: u64, number: usize, at: off_t) -> bool {
    let mut bits =
        seed.wrapping_add((number as u64) << 32).wrapping_add(at.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) & 1 == 0
}
