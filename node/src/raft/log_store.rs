//! openraft's log storage over [`storage::log`](crate::storage::log).
//!
//! The newest entries are kept in memory too: followers that keep up are served from there, and an entry can be read
//! from the moment it was handed to the log thread. What leaves the memory has been flushed, because the reads of
//! older entries go to the file.
//!
//! openraft is told that entries are appended when they are handed over, not when they are flushed;
//! [`Flushes`] guards what must wait.
//!
//! openraft reads everything between applied and committed at once, and queues what it has read for the apply thread. After a
//! long absence that is everything that was missed. So only as much is handed out with its content as [`APPLY_BYTES_MAX`]
//! allows; the rest is read again when its turn comes ([`super::state_machine`]).

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, Entry, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader, StorageError, StorageIOError,
};
use tokio::sync::oneshot;
use wire::replication::entry::LogId as WireLogId;
use wire::replication::{decode, encode};

use super::flushes::Flushes;
use super::introductions::Verdict;
use super::types::{
    LogId, TypeConfig, Vote, content_bytes, entry_in, entry_out, leave_in_log, log_id_in, log_id_out, vote_in, vote_out,
};
use crate::limits::{APPEND_BYTES_MAX, APPLY_BYTES_MAX, LOG_CACHE_BYTES};
use crate::storage::entry::LogEntry;
use crate::storage::log::{LogStore, Value};

/// The log as openraft sees it. Clones share everything and serve as its readers.
#[derive(Debug, Clone)]
pub struct RaftLog {
    store: LogStore,
    tail: Arc<Mutex<Tail>>,
    flushes: Flushes,
    to_apply: Arc<Mutex<Vec<HandedOut>>>,
    /// Whose votes are stored here.
    node: u64,
    verdict: Verdict,
}

/// Entries that openraft has read, to be applied.
#[derive(Debug)]
struct HandedOut {
    /// The index behind the last one.
    end: u64,
    /// Bytes of their content.
    bytes: usize,
}

/// The newest entries, consecutive.
#[derive(Debug, Default)]
struct Tail {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    /// Entries below this index are on disk.
    flushed: u64,
    last: Option<LogId>,
    purged: Option<LogId>,
    /// See [`Value::Cut`].
    cut: Option<WireLogId>,
    committed: Option<LogId>,
    vote: Option<Vote>,
    /// Index of the oldest entry, if there is one.
    start: u64,
    /// How often entries were dropped, at either end.
    drops: u64,
    /// Entries at the end are being dropped: some are gone from the disk, and still counted here.
    dropping: bool,
}

impl Tail {
    fn push(&mut self, entry: LogEntry) {
        let index = entry.log_id.index;
        self.cut(index);
        if self.entries.back().is_some_and(|last| last.log_id.index + 1 != index) {
            // Entries after an installed snapshot need not continue the old ones.
            self.clear();
        }
        if self.last.is_none() {
            self.start = index;
        }
        self.last = Some(log_id_in(entry.log_id));
        self.bytes += entry.weight();
        self.entries.push_back(entry);
    }

    /// Drops the entries from `index` on.
    fn cut(&mut self, index: u64) {
        while let Some(last) = self.entries.pop_back_if(|last| last.log_id.index >= index) {
            self.bytes -= last.weight();
        }
        self.flushed = self.flushed.min(index);
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Drops the oldest entries that are over the budget and on disk.
    fn trim(&mut self) {
        while self.bytes > LOG_CACHE_BYTES
            && let Some(first) = self.entries.pop_front_if(|first| first.log_id.index < self.flushed)
        {
            self.bytes -= first.weight();
        }
    }

    /// What a reader has to find.
    fn extent(&self) -> Extent {
        Extent {
            start: self.start,
            end: self.last.map_or(0, |last| last.index + 1),
            drops: self.drops,
            settled: !self.dropping,
        }
    }

    fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|first| first.log_id.index)
    }
}

/// The entries of the log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    start: u64,
    end: u64,
    drops: u64,
    settled: bool,
}

impl RaftLog {
    /// Takes the log over as it stands on disk, as `node`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn open(store: LogStore, node: u64) -> io::Result<Self> {
        let purged = match store.get(Value::Purged)? {
            None => None,
            Some(bytes) => match decode(&bytes) {
                Ok(purged) => Some(log_id_in(purged)),
                Err(error) => return Err(store.damaged(format!("its value `purged` makes no sense: {error}"))),
            },
        };
        let last = store.last()?.map(|entry| log_id_in(entry.log_id)).or(purged);
        let cut = store.get(Value::Cut)?.map(|bytes| decode(&bytes)).transpose().map_err(io::Error::other)?;
        let flushed = last.map_or(0, |last| last.index + 1);
        let start = purged.map_or(0, |purged: LogId| purged.index + 1);
        if store.first_index()?.is_some_and(|first| first > start) {
            return Err(store.entry_missing(start));
        }
        let tail = Arc::new(Mutex::new(Tail { last, purged, flushed, start, cut, ..Tail::default() }));
        Ok(RaftLog {
            store,
            tail,
            flushes: Flushes::new(flushed),
            to_apply: Arc::default(),
            node,
            verdict: Verdict::default(),
        })
    }

    /// Writes down what is remembered of the other members. If that fails, the next life remembers a second less.
    pub async fn write_promises(&self) {
        if let Some(bytes) = self.store.promises().take_changed() {
            let _ = self.stored(|done| self.store.put(Value::Promises, bytes, done)).await;
        }
    }

    /// Raised when a leader wants committed entries to be dropped.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Entries up to there are committed, as the state knows.
    pub fn set_committed(&self, committed: Option<WireLogId>) {
        let mut tail = self.tail();
        tail.committed = tail.committed.max(committed.map(log_id_in));
    }

    /// Index up to which entries are committed, as far as this node knows.
    pub(super) fn committed_index(&self) -> Option<u64> {
        self.tail().committed.map(|committed| committed.index)
    }

    /// Whether a leader's log, which has entry `claim`, lacks what is committed here. Then the [`Verdict`] is passed. Within a
    /// log the ids of leaders only rise, so an entry before ours cannot be of a later leader, nor one behind it of an
    /// earlier.
    pub(super) fn is_contradicted(&self, leader: u64, claim: Option<WireLogId>) -> bool {
        let committed = self.tail().committed.as_ref().map(log_id_out);
        let (Some(claim), Some(committed)) = (claim, committed) else { return false };
        let (theirs, ours) = ((claim.term, claim.node), (committed.term, committed.node));
        let contradicted = (claim.index <= committed.index && theirs > ours)
            || (claim.index >= committed.index && theirs < ours)
            || (claim.index == committed.index && theirs != ours);
        if contradicted {
            self.verdict.pass(another_history(claim.index.min(committed.index), leader));
        }
        contradicted
    }

    /// The end of this log: it never goes back, whatever leaders replace. See [`Value::Cut`].
    pub fn end(&self) -> Option<WireLogId> {
        let tail = self.tail();
        tail.last.as_ref().map(log_id_out).max(tail.cut)
    }

    /// What of it is on disk.
    pub fn flushes(&self) -> &Flushes {
        &self.flushes
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().expect("nobody panics while holding this lock")
    }

    /// Index of the newest entry.
    pub fn last_index(&self) -> Option<u64> {
        self.tail().last.map(|last| last.index)
    }

    /// Index up to which entries have been dropped.
    pub fn purged_index(&self) -> Option<u64> {
        self.tail().purged.map(|purged| purged.index)
    }

    /// The entries of a range: all that the log has of it, or as many of the first ones as fit `bytes_max`.
    ///
    /// Consecutive, without exception: an entry that is skipped would be applied by nobody who hears of the next one.
    async fn entries(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry<TypeConfig>>> {
        let before = self.tail().extent();
        let (mut entries, cut) = self.gathered(start, end, bytes_max).await?;
        let (wanted, wanted_end) = (start.max(before.start), end.min(before.end));
        let whole = entries.iter().zip(wanted..).take_while(|(entry, index)| entry.log_id.index == *index).count();
        let missing = wanted + whole as u64;
        if whole < entries.len() || (!cut && missing < wanted_end) {
            let now = self.tail().extent();
            if now.drops == before.drops && now.settled && before.settled {
                return Err(self.store.entry_missing(missing));
            }
            // They were dropped while this was reading. Only somebody who leads no more asks for such entries.
            entries.truncate(whole);
        }
        Ok(entries.into_iter().map(entry_in).collect())
    }

    /// The entries of a range that are found, and whether they were cut off at `bytes_max`.
    async fn gathered(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<(Vec<LogEntry>, bool)> {
        let (from_memory, end_of_disk) = {
            let tail = self.tail();
            let first = tail.first_index().unwrap_or(tail.last.map_or(0, |last| last.index + 1));
            let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
            let from_memory: Vec<LogEntry> = if end <= first {
                Vec::new()
            } else {
                tail.entries.iter().skip(skip).take_while(|entry| entry.log_id.index < end).cloned().collect()
            };
            (from_memory, first.min(end))
        };
        let mut entries = Vec::new();
        if start < end_of_disk {
            let store = self.store.clone();
            let stopped;
            (entries, stopped) = tokio::task::spawn_blocking(move || store.read(start..end_of_disk, bytes_max))
                .await
                .map_err(io::Error::other)??;
            if stopped {
                return Ok((entries, true));
            }
        }
        let mut bytes: usize = entries.iter().map(LogEntry::weight).sum();
        for entry in from_memory {
            bytes += entry.weight();
            if bytes > bytes_max && !entries.is_empty() {
                return Ok((entries, true));
            }
            entries.push(entry);
        }
        Ok((entries, false))
    }

    fn to_apply(&self) -> std::sync::MutexGuard<'_, Vec<HandedOut>> {
        self.to_apply.lock().expect("nobody panics while holding this lock")
    }

    /// Entries to apply: those that there is room for, and the others without their content.
    async fn entries_to_apply(&self, start: u64, end: u64) -> io::Result<Vec<Entry<TypeConfig>>> {
        let handed_out: usize = self.to_apply().iter().map(|range| range.bytes).sum();
        let mut room = APPLY_BYTES_MAX.saturating_sub(handed_out);
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, start);
        while next < end {
            let read = self.entries(next, end, APPEND_BYTES_MAX).await?;
            let Some(last) = read.last() else { break };
            next = last.log_id.index + 1;
            for mut entry in read {
                let content = content_bytes(&entry);
                if content <= room {
                    (room, bytes) = (room - content, bytes + content);
                } else {
                    // What follows would be applied behind it anyway.
                    room = 0;
                    leave_in_log(&mut entry);
                }
                entries.push(entry);
            }
        }
        if bytes > 0 {
            self.to_apply().push(HandedOut { end: next, bytes });
        }
        Ok(entries)
    }

    /// Entries from `start` on to apply now, with their content; at least one, and not many megabytes.
    ///
    /// # Errors
    /// They cannot be read, or are not there.
    pub async fn content_of(&self, start: u64, end: u64) -> io::Result<Vec<Entry<TypeConfig>>> {
        let entries = self.entries(start, end, APPEND_BYTES_MAX).await?;
        match entries.first() {
            Some(first) if first.log_id.index == start => Ok(entries),
            _ => Err(io::Error::other(format!("entry {start}, which is to be applied, is not in the log"))),
        }
    }

    /// Everything up to this index is applied: there is room again for what it took.
    pub fn applied(&self, index: u64) {
        self.to_apply().retain(|range| range.end > index + 1);
    }

    async fn stored(&self, start: impl FnOnce(crate::storage::log::Done)) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        start(Box::new(move |result| {
            let _ = done.send(result);
        }));
        answer.await.map_err(|_| io::Error::other("the log thread is gone"))?
    }
}

/// Committed entries are never replaced, unless some member has forgotten that it had them.
fn another_history(index: u64, leader: u64) -> String {
    format!(
        "the leader {leader:016x} has another history than this server: entry {index}, which was committed here, is not in \
         its log. A server was started from an older copy of its data directory, and messages that people were told are \
         stored are missing on the servers that follow that leader. This server keeps what it has and stops. Keep its data \
         directory: it may be the only one that holds these messages. To go back to them, stop all servers and start each \
         one from the newest data directory there is of it"
    )
}

fn failed(verb: ErrorVerb, subject: ErrorSubject<u64>) -> impl FnOnce(io::Error) -> StorageError<u64> {
    move |error| StorageError::from(StorageIOError::new(subject, verb, AnyError::new(&error)))
}

impl RaftLogReader<TypeConfig> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<u64>> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        self.entries_to_apply(start, end).await.map_err(failed(ErrorVerb::Read, ErrorSubject::Logs))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<u64>> {
        let entries = self.entries(start, end, APPEND_BYTES_MAX).await;
        let mut entries = entries.map_err(failed(ErrorVerb::Read, ErrorSubject::Logs))?;
        if entries.first().is_some_and(|first| first.log_id.index != start) {
            // Purged while this node stopped leading. Sent behind what comes before them the others would leave a hole.
            entries.clear();
        }
        Ok(entries)
    }
}

impl RaftLogStorage<TypeConfig> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<u64>> {
        let tail = self.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError<u64>> {
        self.tail().vote = Some(*vote);
        let bytes = encode(&vote_out(vote));
        self.stored(|done| self.store.put(Value::Vote, bytes, done))
            .await
            .map_err(failed(ErrorVerb::Write, ErrorSubject::Vote))
    }

    /// A vote this node won is given back as one it only cast: openraft would let it lead on in the same term, and it
    /// may have lost entries of that term which others hold. New ones must not get the same log ids.
    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError<u64>> {
        let vote = self
            .store
            .get(Value::Vote)
            .and_then(|bytes| bytes.map(|bytes| decode(&bytes).map(vote_in)).transpose().map_err(io::Error::other))
            .map_err(failed(ErrorVerb::Read, ErrorSubject::Vote))?;
        let vote = vote.map(|mut vote: Vote| {
            vote.committed &= vote.leader_id.node_id != self.node;
            vote
        });
        self.tail().vote = vote;
        Ok(vote)
    }

    /// Not awaited: openraft's core loop waits here, and a lost hint only costs applying again from the log.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError<u64>> {
        {
            let mut tail = self.tail();
            tail.committed = tail.committed.max(committed);
        }
        self.store.remember_committed(encode(&committed.as_ref().map(log_id_out)));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError<u64>> {
        self.store
            .get(Value::Committed)
            .and_then(|bytes| {
                let decoded = bytes.map(|bytes| decode::<Option<_>>(&bytes)).transpose().map_err(io::Error::other)?;
                // The hint must not run ahead of the log it speaks of.
                let last = self.tail().last;
                Ok(decoded.flatten().map(log_id_in).filter(|committed| Some(*committed) <= last))
            })
            .map_err(failed(ErrorVerb::Read, ErrorSubject::Logs))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().map(|entry| entry_out(&entry)).collect();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        let (first, end) = (first.log_id.index, last.log_id.index + 1);
        let bytes = entries.iter().map(LogEntry::weight).sum();
        self.flushes.room().await;
        {
            let mut tail = self.tail();
            entries.iter().cloned().for_each(|entry| tail.push(entry));
        }
        let (tail, flushes) = (self.tail.clone(), self.flushes.clone());
        let number = flushes.begin(first);
        flushes.queue(bytes);
        self.store.append(
            entries,
            Box::new(move |result| {
                let flushed = result.map(|()| {
                    let mut tail = tail.lock().expect("nobody panics while holding this lock");
                    tail.flushed = tail.flushed.max(end).min(tail.last.map_or(end, |last| last.index + 1));
                    tail.trim();
                    tail.flushed
                });
                flushes.unqueue(bytes);
                flushes.finish(number, flushed);
            }),
        );
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError<u64>> {
        let cut = {
            let mut tail = self.tail();
            if tail.committed.is_some_and(|committed| log_id.index <= committed.index) {
                let leader = tail.vote.map_or(0, |vote| vote.leader_id.node_id);
                let reason = another_history(log_id.index, leader);
                let refused = failed(ErrorVerb::Delete, ErrorSubject::Logs)(io::Error::other(reason.clone()));
                self.verdict.pass(reason);
                return Err(refused);
            }
            tail.dropping = true;
            tail.drops += 1;
            tail.vote.map(|Vote { leader_id, .. }| WireLogId {
                term: leader_id.term,
                node: leader_id.node_id,
                index: log_id.index.saturating_sub(1),
            })
        };
        self.stored(|done| self.store.truncate(log_id.index, cut, done))
            .await
            .map_err(failed(ErrorVerb::Delete, ErrorSubject::Logs))?;
        let previous = match log_id.index.checked_sub(1) {
            None => None,
            Some(index) => self
                .entries(index, log_id.index, usize::MAX)
                .await
                .map_err(failed(ErrorVerb::Read, ErrorSubject::Logs))?
                .first()
                .map(|entry| entry.log_id),
        };
        let mut tail = self.tail();
        tail.cut(log_id.index);
        tail.cut = tail.cut.max(cut);
        tail.last = previous.or(tail.purged);
        tail.dropping = false;
        Ok(())
    }

    /// openraft purges below the last snapshot only, and a snapshot here is what the state database has durably
    /// checkpointed (see [`super::snapshot`]): nothing is dropped that a restart could need.
    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError<u64>> {
        {
            let mut tail = self.tail();
            tail.purged = Some(log_id);
            tail.start = log_id.index + 1;
            tail.drops += 1;
            tail.last = tail.last.max(Some(log_id));
            while let Some(first) = tail.entries.pop_front_if(|first| first.log_id.index <= log_id.index) {
                tail.bytes -= first.weight();
            }
            tail.flushed = tail.flushed.max(log_id.index + 1);
        }
        let purged = encode(&log_id_out(&log_id));
        self.stored(|done| self.store.purge(log_id.index, purged, done))
            .await
            .map_err(failed(ErrorVerb::Delete, ErrorSubject::Logs))
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::super::types::{Proposal, is_left_in_log};
    use super::*;
    use crate::storage::trouble::Alarm;

    const ENTRIES: u64 = 400;

    fn entry(index: u64) -> Entry<TypeConfig> {
        let bytes = vec![u8::try_from(index % 251).unwrap(); 64 << 10];
        let log_id = LogId::new(openraft::CommittedLeaderId::new(1, 7), index);
        Entry { log_id, payload: EntryPayload::Normal(Proposal(bytes.into())) }
    }

    /// As openraft's append, whose callback only openraft can make.
    async fn append(log: &RaftLog, entry: Entry<TypeConfig>) {
        let entry = entry_out(&entry);
        let index = entry.log_id.index;
        log.tail().push(entry.clone());
        let number = log.flushes().begin(index);
        log.stored(|done| log.store.append(vec![entry], done)).await.unwrap();
        log.tail().flushed = index + 1;
        log.tail().trim();
        log.flushes().finish(number, Ok(index + 1));
    }

    fn held(entries: &[Entry<TypeConfig>]) -> usize {
        entries.iter().map(content_bytes).sum()
    }

    #[tokio::test]
    async fn what_was_missed_is_handed_out_as_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let store = LogStore::open(&directory.path().join("log.db"), Alarm::default()).unwrap();
        let mut log = RaftLog::open(store, 7).unwrap();
        for index in 0..ENTRIES {
            append(&log, entry(index)).await;
        }
        log.flushes().all().await.unwrap();
        // 25 MiB, of which the memory of the log keeps a part as well.
        let entries = log.try_get_log_entries(0..ENTRIES).await.unwrap();
        assert!(entries.iter().map(|entry| entry.log_id.index).eq(0..ENTRIES));
        assert!((APPLY_BYTES_MAX / 2..=APPLY_BYTES_MAX).contains(&held(&entries)), "{}", held(&entries));
        let first_left = entries.iter().find(|entry| is_left_in_log(entry)).unwrap().log_id.index;
        assert!(entries.iter().skip(usize::try_from(first_left).unwrap()).all(is_left_in_log));
        // Nothing is applied yet: there is no room for more.
        let again = log.try_get_log_entries(0..ENTRIES).await.unwrap();
        assert!(held(&again) < 64 << 10, "{}", held(&again));
        // Its turn has come.
        let content = log.content_of(first_left, ENTRIES).await.unwrap();
        assert!(held(&content) <= APPEND_BYTES_MAX && content[0] == entry(first_left));
        log.applied(ENTRIES - 1);
        let entries = log.try_get_log_entries(0..10).await.unwrap();
        assert!(entries.iter().enumerate().all(|(index, read)| *read == entry(index as u64)));
        assert!(log.content_of(ENTRIES, ENTRIES + 5).await.is_err());
    }

    const NODE: u64 = 1;

    fn id(index: u64) -> LogId {
        LogId::new(openraft::CommittedLeaderId::new(1, NODE), index)
    }

    async fn store(log: &RaftLog, entries: std::ops::Range<u64>) {
        let entries = entries.map(|index| LogEntry {
            log_id: log_id_out(&id(index)),
            payload: crate::storage::entry::LogPayload::Blank,
        });
        log.stored(|done| log.store.append(entries.collect(), done)).await.unwrap();
    }

    /// A log with the entries 0 to 19 on disk, none of them in memory.
    async fn opened(path: &std::path::Path, alarm: &Alarm) -> RaftLog {
        let log = RaftLog::open(LogStore::open(path, alarm.clone()).unwrap(), NODE).unwrap();
        store(&log, 0..20).await;
        drop(log);
        RaftLog::open(LogStore::open(path, alarm.clone()).unwrap(), NODE).unwrap()
    }

    fn indexes(entries: &[Entry<TypeConfig>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.log_id.index).collect()
    }

    #[tokio::test]
    async fn what_is_read_is_consecutive_from_what_was_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let alarm = Alarm::default();
        let mut log = opened(&directory.path().join("log.db"), &alarm).await;
        assert_eq!(indexes(&log.try_get_log_entries(3..7).await.unwrap()), [3, 4, 5, 6]);
        assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 20);
        assert_eq!(indexes(&log.try_get_log_entries(18..100).await.unwrap()), [18, 19]);
        assert_eq!(indexes(&log.try_get_log_entries(20..100).await.unwrap()), [0; 0]);
        log.purge(id(4)).await.unwrap();
        assert_eq!(indexes(&log.try_get_log_entries(3..7).await.unwrap()), [5, 6]);
        assert_eq!(indexes(&log.limited_get_log_entries(5, 7).await.unwrap()), [5, 6]);
        // What would follow something else than its reader believes is not sent.
        assert_eq!(indexes(&log.limited_get_log_entries(3, 7).await.unwrap()), [0; 0]);
        log.truncate(id(10)).await.unwrap();
        assert_eq!(indexes(&log.try_get_log_entries(8..).await.unwrap()), [8, 9]);
        assert_eq!(alarm.reason(), None);
    }

    #[tokio::test]
    async fn a_hole_is_damage_wherever_it_is() {
        for (gone, asked, missing) in [("idx = 8", 5..12, 8), ("idx = 5", 5..12, 5), ("idx >= 11", 5..12, 11)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log.db");
            let alarm = Alarm::default();
            let mut log = opened(&path, &alarm).await;
            crate::storage::log::tamper(&path, &format!("DELETE FROM entry WHERE {gone}"));
            // In front of it everything is as it was.
            assert_eq!(indexes(&log.try_get_log_entries(0..missing).await.unwrap()).len() as u64, missing);
            assert_eq!(alarm.reason(), None);
            let said = log.try_get_log_entries(asked.clone()).await.unwrap_err().to_string();
            assert!(said.contains(&format!("log entry {missing} is missing")), "{said}");
            log.limited_get_log_entries(asked.start, asked.end).await.unwrap_err();
            let reason = alarm.reason().unwrap();
            assert!(reason.contains("log.db is damaged") && reason.contains("join as a new one"), "{reason}");
        }
    }
}
