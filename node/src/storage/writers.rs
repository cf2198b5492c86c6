//! How far writers have come, gathered over a transaction: a device that sends five hundred writes in one entry costs one
//! row of its position and one of its outcomes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use wire::limits::OUTCOMES_KEPT;
use wire::replication::command::{Outcome, Writer};

use super::rows::{self, sql, u64_at};
use crate::chat::state::{KeptRun, Position};

/// How many numbers a writer comes further until outcomes that nobody may ask for any more are removed.
const PRUNE_EVERY: u64 = 64;

/// Writers that have moved in this transaction.
#[derive(Debug, Default)]
pub(super) struct Writers {
    moved: BTreeMap<u64, Moved>,
}

/// Where a writer stands, and its outcomes that are in no row yet: those of `count` numbers from `first`.
#[derive(Debug)]
struct Moved {
    position: Position,
    first: u64,
    count: u32,
    /// One behind the other, postcard.
    outcomes: Vec<u8>,
}

/// Outcomes to keep, as a change carries them: those of `count` numbers from `first`, a postcard list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) outcomes: &'a [u8],
}

impl Writers {
    pub(super) fn position(&self, connection: &Connection, device: u64) -> rusqlite::Result<Option<Position>> {
        match self.moved.get(&device) {
            Some(moved) => Ok(Some(moved.position)),
            None => position(connection, device),
        }
    }

    pub(super) fn kept_run(&self, connection: &Connection, device: u64, seq: u64) -> rusqlite::Result<Option<KeptRun>> {
        if let Some(moved) = self.moved.get(&device)
            && moved.count > 0
            && seq >= moved.first
        {
            return moved.kept_run().map(Some);
        }
        connection
            .prepare_cached(
                "SELECT first_seq, outcomes FROM kept_runs WHERE device = ?1 AND first_seq <= ?2
                 ORDER BY first_seq DESC LIMIT 1",
            )?
            .query_row(params![sql(device), sql(seq)], |row| {
                Ok(KeptRun { first_seq: u64_at(row, 0)?, outcomes: rows::postcard_at(row, 1)? })
            })
            .optional()
    }

    /// A writer has come to `last_seq` of its epoch.
    pub(super) fn moved(
        &mut self,
        connection: &Connection,
        writer: Writer,
        last_seq: u64,
        kept: Kept<'_>,
    ) -> rusqlite::Result<()> {
        let position = Position { epoch: writer.epoch, last_seq };
        if self.position(connection, writer.device)?.is_some_and(|was| was.epoch != writer.epoch) {
            self.forget(connection, writer.device)?;
        }
        let moved = self.moved.entry(writer.device).or_insert_with(|| Moved::to(position));
        moved.position = position;
        if kept.count == 0 {
            return Ok(());
        }
        // Numbers are dense, so what is new continues what has gathered.
        if moved.count as usize >= OUTCOMES_KEPT {
            moved.write_row(connection, writer.device)?;
        }
        if moved.count == 0 {
            moved.first = kept.first;
        }
        let (_, outcomes) = postcard::take_from_bytes::<u64>(kept.outcomes).unwrap_or_default();
        moved.outcomes.extend_from_slice(outcomes);
        moved.count += kept.count;
        Ok(())
    }

    /// A device never writes again.
    pub(super) fn drop(&mut self, connection: &Connection, device: u64) -> rusqlite::Result<()> {
        self.forget(connection, device)?;
        connection.prepare_cached("DELETE FROM writers WHERE device = ?1")?.execute([sql(device)])?;
        Ok(())
    }

    /// Forgets all outcomes of a writer, and what has gathered of it.
    fn forget(&mut self, connection: &Connection, device: u64) -> rusqlite::Result<()> {
        self.moved.remove(&device);
        connection.prepare_cached("DELETE FROM kept_runs WHERE device = ?1")?.execute([sql(device)])?;
        Ok(())
    }

    /// Writes what has gathered.
    pub(super) fn finish(self, connection: &Connection) -> rusqlite::Result<()> {
        for (device, mut moved) in self.moved {
            let Position { epoch, last_seq } = moved.position;
            connection
                .prepare_cached(
                    "INSERT INTO writers (device, epoch, last_seq) VALUES (?1, ?2, ?3)
                     ON CONFLICT (device) DO UPDATE SET epoch = ?2, last_seq = ?3",
                )?
                .execute(params![sql(device), sql(epoch), sql(last_seq)])?;
            let first = if moved.count == 0 { last_seq } else { moved.first };
            moved.write_row(connection, device)?;
            // Rows go after their last numbers, many at a time: the first of them are on other pages than the new one.
            if first.saturating_sub(1) / PRUNE_EVERY == last_seq / PRUNE_EVERY {
                continue;
            }
            let forgotten = sql(last_seq.saturating_sub(OUTCOMES_KEPT as u64));
            connection
                .prepare_cached(
                    "DELETE FROM kept_runs WHERE device = ?1 AND first_seq <= ?2 AND first_seq + count - 1 <= ?2",
                )?
                .execute(params![sql(device), forgotten])?;
        }
        Ok(())
    }
}

impl Moved {
    fn to(position: Position) -> Moved {
        Moved { position, first: 0, count: 0, outcomes: Vec::new() }
    }

    /// The outcomes as a postcard list.
    fn list(&self) -> Vec<u8> {
        let mut list = postcard::to_allocvec(&u64::from(self.count)).expect("a number always encodes");
        list.extend_from_slice(&self.outcomes);
        list
    }

    fn kept_run(&self) -> rusqlite::Result<KeptRun> {
        let outcomes: Vec<Outcome> = postcard::from_bytes(&self.list()).map_err(|error| rows::damaged(0, error))?;
        Ok(KeptRun { first_seq: self.first, outcomes })
    }

    fn write_row(&mut self, connection: &Connection, device: u64) -> rusqlite::Result<()> {
        if self.count > 0 {
            connection
                .prepare_cached("INSERT INTO kept_runs (device, first_seq, count, outcomes) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![sql(device), sql(self.first), self.count, self.list()])?;
            self.count = 0;
            self.outcomes.clear();
        }
        Ok(())
    }
}

/// How far a writer has come; `None` if it never wrote.
pub(super) fn position(connection: &Connection, device: u64) -> rusqlite::Result<Option<Position>> {
    connection
        .prepare_cached("SELECT epoch, last_seq FROM writers WHERE device = ?1")?
        .query_row([sql(device)], |row| Ok(Position { epoch: u64_at(row, 0)?, last_seq: u64_at(row, 1)? }))
        .optional()
}
