//! Hashes of the state at entries where every replica keeps one, to be compared between them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::limits::{STATE_COMPARED_ENTRIES, STATE_HASHES_KEPT};

/// An applied entry, and the hash of the state behind it.
pub type Place = (u64, [u8; 32]);

/// The newest of them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hashes(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    places: VecDeque<Place>,
    last: Option<Place>,
}

impl Hashes {
    /// Whether the hash behind this entry is kept by everybody.
    pub(super) fn is_kept(index: u64) -> bool {
        index.is_multiple_of(STATE_COMPARED_ENTRIES)
    }

    /// Entries were applied: `kept` are those that [`Hashes::is_kept`] names, `last` is the last one.
    pub(super) fn applied(&self, kept: Vec<Place>, last: Option<Place>) {
        let mut state = self.lock();
        state.places.extend(kept);
        while state.places.len() > STATE_HASHES_KEPT {
            state.places.pop_front();
        }
        state.last = last;
    }

    /// The whole state was replaced: what was kept is of another one.
    pub(super) fn replaced(&self, last: Option<Place>) {
        let mut state = self.lock();
        state.places.clear();
        state.last = last;
    }

    /// What can be compared, oldest first.
    pub fn places(&self) -> Vec<Place> {
        let state = self.lock();
        let last = state.last.filter(|last| state.places.back() != Some(last));
        state.places.iter().copied().chain(last).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}
