//! Keeps a write-ahead log short without making its writer wait.
//!
//! A second thread moves the log into the database, beside the commits. Commits go on meanwhile, so it never comes to an
//! end by itself; when it is done the writer moves the little that came since, between two transactions. Then SQLite
//! starts over at the beginning of the file, whose length stays: a flush changes no metadata of the file system from
//! then on, and reads have few pages to look through.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;

use super::make_way;
use super::state_copy::passive_checkpoint;
use super::trouble::Alarm;
use crate::limits::{CHECKPOINT_BYTES, CHECKPOINT_NICE};

/// The writer's end.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicU32>,
    /// With that many it is moved.
    enough: u32,
    /// The other thread has just moved nearly everything.
    moved: Arc<AtomicBool>,
    move_it: SyncSender<()>,
}

impl Checkpoints {
    /// Watches the commits of `writer`, and moves its log over `mover`, another connection to the same database, on a
    /// thread called `name`. It ends with this handle. A failure is told to `alarm`, naming the `database`.
    ///
    /// # Errors
    /// No thread could be started, or SQLite said no.
    pub(super) fn start(
        name: &str,
        database: &'static str,
        writer: &mut Connection,
        mover: Connection,
        alarm: Alarm,
    ) -> io::Result<Self> {
        let page_bytes = writer.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0));
        let enough = CHECKPOINT_BYTES / page_bytes.map_err(io::Error::other)?;
        let pages = Arc::new(AtomicU32::new(0));
        let seen = pages.clone();
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
                seen.store(u32::try_from(pages).unwrap_or(0), Relaxed);
                Ok(())
            }))
            .map_err(io::Error::other)?;
        let (move_it, orders) = sync_channel(1);
        let moved = Arc::new(AtomicBool::new(false));
        let done = moved.clone();
        let on_failure = move |error: &rusqlite::Error| alarm.raise(&format!("cannot write {database}"), error);
        std::thread::Builder::new().name(name.into()).spawn(move || run(&mover, &orders, &done, on_failure))?;
        Ok(Self { pages, enough, moved, move_it })
    }

    /// To be called by the writer between two transactions.
    ///
    /// # Errors
    /// SQLite's, when moving the rest.
    pub(super) fn tend(&self, writer: &Connection) -> rusqlite::Result<()> {
        if self.moved.swap(false, AcqRel) {
            passive_checkpoint(writer)?;
        } else if self.pages.load(Relaxed) >= self.enough {
            // Full: it is at work. Gone: it has failed, and raised the alarm.
            let _ = self.move_it.try_send(());
        }
        Ok(())
    }

    /// Pages in the log after the last commit.
    #[cfg(test)]
    pub(super) fn pages(&self) -> u32 {
        self.pages.load(Relaxed)
    }
}

fn run(mover: &Connection, orders: &Receiver<()>, moved: &AtomicBool, on_failure: impl Fn(&rusqlite::Error)) {
    make_way(CHECKPOINT_NICE);
    while orders.recv().is_ok() {
        if moved.load(Acquire) {
            // Ordered while the last one was under way; the writer has yet to move the rest.
            continue;
        }
        match passive_checkpoint(mover) {
            Ok(_) => moved.store(true, Release),
            Err(error) => return on_failure(&error),
        }
    }
}
