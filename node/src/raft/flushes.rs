//! What of the log is on disk, for those who must not act before.
//!
//! openraft is told that entries are appended when they are handed to the log thread, so that a leader's disk works
//! while its followers' do. Nothing may come of an entry that could still be lost here, so these wait for the flush:
//!
//! * the answer to a leader's append ([`Flushes::all`]), because it counts as a copy;
//! * applying, and so every answer to a client ([`Flushes::upto`]);
//! * telling others that an entry is committed ([`Flushes::upto`]), because they apply it then.
//!
//! Votes are stored behind the entries that they speak of, by the same thread in order. And a node that led does not lead
//! on after a restart (`RaftLog::read_vote`). `docs/adr/0008-the-leader-flushes-while-its-followers-do.md` says why
//! that is enough.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::watch;

use crate::limits::LOG_QUEUE_BYTES_MAX;

/// Handle to the state of flushing; clones share it.
#[derive(Debug, Clone)]
pub struct Flushes {
    state: Arc<watch::Sender<State>>,
    /// Bytes of entries that were handed to the log thread and are not on disk.
    queued: Arc<AtomicUsize>,
    /// Why nothing will be flushed any more. By itself, so that who waits for that is not woken by each flush.
    failed: Arc<watch::Sender<Option<String>>>,
}

#[derive(Debug, Default)]
struct State {
    /// Appends handed to the log thread since the start.
    begun: u64,
    /// Those of them that are on disk: the thread works in order.
    done: u64,
    /// Entries below this index are on disk.
    end: u64,
    /// Nothing will be flushed any more.
    failed: bool,
}

impl Flushes {
    /// With the entries below `end` on disk.
    pub fn new(end: u64) -> Self {
        let state = Arc::new(watch::Sender::new(State { end, ..State::default() }));
        Flushes { state, queued: Arc::default(), failed: Arc::new(watch::Sender::new(None)) }
    }

    /// An append of entries from `first` on is handed to the log thread; returns its number.
    pub(super) fn begin(&self, first: u64) -> u64 {
        let mut number = 0;
        // Nobody waits for beginnings.
        self.state.send_if_modified(|state| {
            state.begun += 1;
            // What was on disk from there on was truncated, or is replaced now.
            state.end = state.end.min(first);
            number = state.begun;
            false
        });
        number
    }

    /// So many bytes of entries are handed to the log thread.
    pub(super) fn queue(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Relaxed);
    }

    /// They are on disk, or will never be. Told before [`Flushes::finish`], which wakes whoever waits for room.
    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Relaxed);
    }

    /// Returns when the log thread has taken enough of what it was handed, or has failed: the next append then says so.
    pub(super) async fn room(&self) {
        let _ = self.wait(|_| self.queued.load(Relaxed) <= LOG_QUEUE_BYTES_MAX).await;
    }

    /// Append `number` is done; with it the entries below `end` are on disk, or will never be.
    pub(super) fn finish(&self, number: u64, result: io::Result<u64>) {
        if let Err(error) = &result {
            self.failed.send_replace(Some(error.to_string()));
        }
        self.state.send_modify(|state| match result {
            Ok(end) => (state.done, state.end) = (number, end),
            Err(_) => state.failed = true,
        });
    }

    /// Returns once the entries up to `index` are on disk. Ask only for entries that will not be truncated.
    ///
    /// # Errors
    /// They will never be: the log has failed.
    pub async fn upto(&self, index: u64) -> io::Result<()> {
        self.wait(|state| state.end > index).await
    }

    /// Returns once everything is on disk that was appended before this call.
    ///
    /// # Errors
    /// It will never be: the log has failed.
    pub async fn all(&self) -> io::Result<()> {
        let begun = self.state.borrow().begun;
        self.wait(|state| state.done >= begun).await
    }

    async fn wait(&self, enough: impl Fn(&State) -> bool) -> io::Result<()> {
        let mut changes = self.state.subscribe();
        let state = changes.wait_for(|state| state.failed || enough(state)).await.expect("we hold the sender");
        match enough(&state) {
            true => Ok(()),
            false => Err(io::Error::other(self.failed.borrow().clone().unwrap_or_default())),
        }
    }

    /// Returns, with the reason, when nothing will be flushed any more.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        let failed = failed.wait_for(Option::is_some).await.expect("we hold the sender");
        failed.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn nobody_passes_before_the_flush() {
        let flushes = Flushes::new(5);
        assert!(now(flushes.upto(4)).is_some_and(|it| it.is_ok()));
        assert!(now(flushes.upto(5)).is_none());
        assert!(now(flushes.all()).is_some_and(|it| it.is_ok()), "nothing is under way");
        let (first, second) = (flushes.begin(5), flushes.begin(6));
        assert!(now(flushes.all()).is_none());
        flushes.finish(first, Ok(6));
        assert!(now(flushes.upto(5)).is_some_and(|it| it.is_ok()));
        assert!(now(flushes.all()).is_none(), "the second is under way");
        flushes.finish(second, Ok(8));
        assert!(now(flushes.all()).is_some_and(|it| it.is_ok()));
    }

    #[test]
    fn a_replaced_entry_counts_only_when_its_successor_is_on_disk() {
        let flushes = Flushes::new(9);
        let append = flushes.begin(5);
        assert!(now(flushes.upto(4)).is_some());
        assert!(now(flushes.upto(5)).is_none());
        flushes.finish(append, Ok(6));
        assert!(now(flushes.upto(5)).is_some());
        assert!(now(flushes.upto(6)).is_none(), "cut off, although it was there once");
    }

    #[test]
    fn more_is_handed_over_when_enough_of_it_is_on_disk() {
        let flushes = Flushes::new(0);
        assert!(now(flushes.room()).is_some());
        let append = flushes.begin(0);
        flushes.queue(LOG_QUEUE_BYTES_MAX + 1);
        let mut waits = pin!(flushes.room());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        flushes.unqueue(LOG_QUEUE_BYTES_MAX + 1);
        flushes.finish(append, Ok(1));
        assert!(waits.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn a_failed_log_answers_everybody() {
        let flushes = Flushes::new(5);
        let append = flushes.begin(5);
        assert!(now(flushes.failed()).is_none());
        flushes.finish(append, Err(io::Error::other("no space left")));
        assert!(now(flushes.upto(5)).is_some_and(|it| it.is_err()));
        assert!(now(flushes.all()).is_some_and(|it| it.is_err()));
        assert!(now(flushes.upto(4)).is_some_and(|it| it.is_ok()), "what is on disk stays there");
        assert_eq!(now(flushes.failed()).as_deref(), Some("no space left"));
    }
}
