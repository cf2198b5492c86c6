//! Writes: commands in, outcomes out, exactly once.
//!
//! Every write of this node goes through one queue, in order. What arrived while the last run was in flight becomes
//! the next run, numbered as this node's writes ([`Writer`]) and handed to the leader: the [`Collector`] if this node
//! leads, over a link otherwise. A run whose answer is lost is handed over again, to whoever leads then, under the same
//! numbers, so apply takes it once. A run that is given up ends this node's epoch, so that a straggling copy of it can
//! not be applied behind later writes.
//!
//! The collector puts the runs of all nodes that arrived while the last entry was in flight into the next entry: one
//! flush for all of them.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use wire::limits::{RUN_BYTES_MAX, RUN_COMMANDS_MAX};
use wire::replication::command::{Command, Outcome, Refusal, Run, Writer};

use super::collect::{Collector, NotCollected, OwnedRun};
use super::introductions::Introductions;
use super::leader::Leadership;
use crate::env::Clock;
use crate::limits::{PROPOSALS_MAX, PROPOSED_RUNS_MAX, RETRY_PAUSE, WRITE_HOLD};
use crate::quic::peer::{CallError, Lane};
use crate::storage::log::{LogStore, Value};
use crate::storage::trouble::Alarm;
use wire::replication::rpc::{PeerReply, PeerRequest};
use wire::replication::{decode, encode};

/// Who waits for the outcome of a write.
#[derive(Debug)]
pub enum Ticket {
    /// The service: completions come back in batches, through the channel given at start, in submission order.
    Service(u64),
    /// A single waiter.
    Waiter(oneshot::Sender<Result<Outcome, ProposeError>>),
}

/// One answered write of the service.
#[derive(Debug)]
pub struct Completion {
    /// The number the service gave it.
    pub ticket: u64,
    /// What came of it.
    pub result: Result<Outcome, ProposeError>,
}

/// Why a write has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Too many writes wait already; nothing was queued.
    #[error("too many writes are waiting")]
    Overloaded,
    /// No majority answered in time, and no leader ever saw it: it is certainly not stored.
    #[error("not stored: {missing}")]
    NotStored {
        /// What is missing, in words for a user.
        missing: String,
    },
    /// It was handed to a leader, and the answer never came: it may or may not become stored.
    #[error("outcome unknown: {missing}")]
    Unknown {
        /// What is missing, in words for a user.
        missing: String,
    },
    /// This node is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl ProposeError {
    /// Of a write that a voter does not know.
    pub(crate) fn not_known_by_all() -> ProposeError {
        let missing = "not every server of this cluster knows this kind of write yet; start all of them with the newest release \
                       that one of them runs";
        ProposeError::NotStored { missing: missing.to_owned() }
    }
}

/// Writes that wait for their turn, packed into runs as they will be sent.
#[derive(Debug, Default)]
struct Queue {
    runs: VecDeque<Packed>,
    writes: usize,
    closed: bool,
}

/// Writes that go together.
#[derive(Debug)]
struct Packed {
    tickets: Vec<Ticket>,
    commands: Vec<u8>,
    /// When the first of them came.
    since: Instant,
}

/// Handle to the write queue.
#[derive(Debug, Clone)]
pub struct Proposer {
    queue: Arc<Mutex<Queue>>,
    filled: Arc<Notify>,
    introductions: Introductions,
}

impl Proposer {
    /// Queues one write.
    ///
    /// # Errors
    /// [`ProposeError::Overloaded`] when the queue is full, [`ProposeError::Stopping`] at the end,
    /// [`ProposeError::NotStored`] where a voter does not know the command; the ticket is then dropped unanswered.
    pub fn submit(&self, command: &Command<'_>, ticket: Ticket) -> Result<(), ProposeError> {
        if command.rule_level() > self.introductions.rules_in_force() {
            return Err(ProposeError::not_known_by_all());
        }
        {
            let mut queue = self.lock();
            if queue.closed {
                return Err(ProposeError::Stopping);
            }
            if queue.writes >= PROPOSALS_MAX || queue.runs.len() >= PROPOSED_RUNS_MAX {
                return Err(ProposeError::Overloaded);
            }
            queue.writes += 1;
            let room = |run: &Packed| run.tickets.len() < RUN_COMMANDS_MAX && run.commands.len() < RUN_BYTES_MAX / 2;
            if !queue.runs.back().is_some_and(room) {
                let since = Instant::now();
                queue.runs.push_back(Packed { tickets: Vec::new(), commands: Vec::new(), since });
            }
            let run = queue.runs.back_mut().expect("one was just made if there was none");
            run.commands = postcard::to_extend(command, mem::take(&mut run.commands))
                .expect("postcard writes every command into a growing buffer");
            run.tickets.push(ticket);
        }
        self.filled.notify_one();
        Ok(())
    }

    /// The newest rules that every voter knows, as far as they have said so.
    pub fn rules_in_force(&self) -> u16 {
        self.introductions.rules_in_force()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().expect("nobody panics while holding this lock")
    }

    /// Queues one write and waits for its outcome.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: &Command<'_>) -> Result<Outcome, ProposeError> {
        let (done, outcome) = oneshot::channel();
        self.submit(command, Ticket::Waiter(done))?;
        outcome.await.unwrap_or(Err(ProposeError::Stopping))
    }
}

/// The task behind the queue.
#[derive(Debug)]
pub(super) struct ProposerTask {
    proposer: Proposer,
    leadership: Leadership,
    collector: Collector,
    store: LogStore,
    completions: mpsc::Sender<Vec<Completion>>,
    writer: Writer,
    next_seq: u64,
    /// How far the next epoch leaps, while the cluster knows a higher one than this node.
    leap: u64,
}

/// Why a run was not settled.
#[derive(Debug)]
enum Unsettled {
    /// The cluster knows a higher epoch of this node; nothing of the run is applied.
    Behind,
    Failed(ProposeError),
}

/// Bits of an epoch that are drawn at random: two lives that count from the same place still differ.
const EPOCH_RANDOM_BITS: u32 = 31;

/// An epoch above `last` that no other life of this node has used, although `last` may be older than the newest: its upper
/// part is the time in seconds where that is later, its lower part is drawn.
fn next_epoch(last: u64, leap: u64, unix_s: u64, random: u32) -> u64 {
    let most = u64::from(u32::MAX);
    let counted = (last >> EPOCH_RANDOM_BITS).saturating_add(1 + leap);
    let upper = if unix_s < most { counted.max(unix_s) } else { counted };
    upper.min(most) << EPOCH_RANDOM_BITS | u64::from(random >> (32 - EPOCH_RANDOM_BITS))
}

impl ProposerTask {
    /// A queue for this node and the task that serves it. Begins a new epoch, on disk before the first write.
    pub(super) async fn start(
        leadership: Leadership,
        collector: Collector,
        store: LogStore,
        completions: mpsc::Sender<Vec<Completion>>,
        alarm: &Alarm,
    ) -> std::io::Result<Proposer> {
        let introductions = leadership.introductions().clone();
        let proposer = Proposer { queue: Arc::default(), filled: Arc::default(), introductions };
        let epoch = match store.get(Value::Epoch)? {
            Some(bytes) => decode::<u64>(&bytes).map_err(std::io::Error::other)?,
            None => 0,
        };
        let writer = Writer { device: leadership.node(), epoch };
        let mut task = ProposerTask {
            proposer: proposer.clone(),
            leadership,
            collector,
            store,
            completions,
            writer,
            next_seq: 1,
            leap: 0,
        };
        task.begin_epoch().await?;
        alarm.guard("handing over writes", task.run());
        Ok(proposer)
    }

    async fn begin_epoch(&mut self) -> std::io::Result<()> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        let unix_s = Clock.unix_ms() / 1000;
        self.writer.epoch = next_epoch(self.writer.epoch, self.leap, unix_s, u32::from_be_bytes(random));
        self.next_seq = 1;
        let (done, flushed) = oneshot::channel();
        let tell = Box::new(move |result| {
            let _ = done.send(result);
        });
        self.store.put(Value::Epoch, encode(&self.writer.epoch), tell);
        flushed.await.map_err(std::io::Error::other)?
    }

    async fn run(mut self) {
        loop {
            self.proposer.filled.notified().await;
            while let Some(Packed { tickets, commands, since }) = self.next_run() {
                let count = u32::try_from(tickets.len()).expect("a run's length is bounded");
                let deadline = since + WRITE_HOLD;
                let run = OwnedRun { writer: self.writer, first_seq: self.next_seq, count, commands };
                let mut run = Arc::new(run);
                let result = loop {
                    let result = self.settle(&run, deadline).await;
                    if !matches!(result, Err(Unsettled::Behind)) || Instant::now() >= deadline {
                        break result;
                    }
                    // Started from an older directory, with a clock that is behind as well.
                    self.leap = self.leap.saturating_mul(2).max(1);
                    if let Err(error) = self.begin_epoch().await {
                        tracing::error!(%error, "cannot begin a new epoch of writes");
                        break result;
                    }
                    let again = Arc::make_mut(&mut run);
                    (again.writer, again.first_seq) = (self.writer, self.next_seq);
                };
                let result = result.map_err(|unsettled| match unsettled {
                    Unsettled::Failed(error) => error,
                    Unsettled::Behind => {
                        let missing = "the cluster knows newer writes of this server; try again".to_owned();
                        ProposeError::NotStored { missing }
                    }
                });
                if result.is_ok() {
                    self.leap = 0;
                    self.next_seq += u64::from(count);
                } else if let Err(error) = self.begin_epoch().await {
                    tracing::error!(%error, "cannot begin a new epoch of writes; no write is taken any more");
                    self.answer(tickets, result).await;
                    return self.close().await;
                }
                self.answer(tickets, result).await;
            }
        }
    }

    fn next_run(&self) -> Option<Packed> {
        let mut queue = self.proposer.lock();
        let run = queue.runs.pop_front()?;
        queue.writes -= run.tickets.len();
        Some(run)
    }

    /// Hands a run to leaders until one answers, at most until `deadline`.
    async fn settle(&self, run: &Arc<OwnedRun>, deadline: Instant) -> Result<Vec<Outcome>, Unsettled> {
        let mut handed_over = false;
        loop {
            let handed_over_before = handed_over;
            let attempt = tokio::time::timeout_at(deadline, self.attempt(run, &mut handed_over));
            match attempt.await {
                Ok(Some(outcomes)) if outcomes.len() == run.count as usize => {
                    if matches!(outcomes.first(), Some(Outcome::Refused(Refusal::SequenceGap | Refusal::StaleEpoch))) {
                        // Not while one process runs on this directory. What was handed over before may have been
                        // applied, and then followed by writes of another process.
                        return Err(if handed_over_before {
                            Unsettled::Failed(ProposeError::Unknown { missing: self.leadership.missing() })
                        } else {
                            Unsettled::Behind
                        });
                    }
                    return Ok(outcomes);
                }
                Ok(_) if Instant::now() < deadline => {
                    // No leader to be had: wait for one, or for the one that is there to get ready.
                    self.leadership.pause(RETRY_PAUSE).await;
                }
                _ => {
                    let missing = self.leadership.missing();
                    return Err(Unsettled::Failed(if handed_over {
                        ProposeError::Unknown { missing }
                    } else {
                        ProposeError::NotStored { missing }
                    }));
                }
            }
        }
    }

    /// One try. `handed_over` is set from the moment on when a leader may have the run.
    async fn attempt(&self, run: &Arc<OwnedRun>, handed_over: &mut bool) -> Option<Vec<Outcome>> {
        let leader = self.leadership.leader()?;
        let before = mem::replace(handed_over, true);
        if leader == self.leadership.node() {
            if !self.leadership.reaches_majority() {
                // A leader that is cut off: what it does not even log is certainly not stored.
                *handed_over = before;
                return None;
            }
            let answer = self.collector.collect(run.clone()).await;
            if answer == Err(NotCollected::Refused) {
                *handed_over = before;
            }
            return answer.ok();
        }
        let Some(peer) = self.leadership.peers().find(leader).filter(|peer| peer.is_connected()) else {
            *handed_over = before;
            return None;
        };
        let request = PeerRequest::Forward { runs: vec![run.as_wire()] };
        let answer = tokio::select! {
            answer = peer.call(Lane::Forward, &request, WRITE_HOLD) => answer,
            // It may have taken the run, but whoever leads now will say so when asked again.
            () = self.leadership.not_any_more(leader) => return None,
        };
        match answer {
            Ok(PeerReply::Forwarded { mut outcomes }) if outcomes.len() == 1 => outcomes.pop(),
            Ok(PeerReply::NotLeader { .. } | PeerReply::Overloaded) | Err(CallError::Unreachable) => {
                *handed_over = before;
                None
            }
            _ => None,
        }
    }

    async fn answer(&self, tickets: Vec<Ticket>, result: Result<Vec<Outcome>, ProposeError>) {
        let mut completions = Vec::with_capacity(tickets.len());
        let mut outcomes = result.map(Vec::into_iter);
        for ticket in tickets {
            let result = match &mut outcomes {
                Ok(outcomes) => Ok(outcomes.next().expect("a settled run has an outcome per command")),
                Err(error) => Err(error.clone()),
            };
            match ticket {
                Ticket::Service(ticket) => completions.push(Completion { ticket, result }),
                // Whoever asked may have left.
                Ticket::Waiter(waiter) => drop(waiter.send(result)),
            }
        }
        if !completions.is_empty() {
            // The service ends after this task only when the whole process does.
            let _ = self.completions.send(completions).await;
        }
    }

    async fn close(self) {
        let tickets = {
            let mut queue = self.proposer.lock();
            queue.closed = true;
            queue.runs.drain(..).flat_map(|run| run.tickets).collect()
        };
        self.answer(tickets, Err(ProposeError::Stopping)).await;
    }
}

/// Proposes what another node has forwarded. "Refused" means that nothing of it was proposed.
pub(super) async fn forwarded(collector: &Collector, runs: Vec<Run<'_>>) -> Result<Vec<Vec<Outcome>>, NotCollected> {
    let mut outcomes = Vec::with_capacity(runs.len());
    for run in runs {
        match collector.collect(Arc::new(OwnedRun::from_wire(&run))).await {
            Ok(settled) => outcomes.push(settled),
            Err(NotCollected::Refused) if outcomes.is_empty() => return Err(NotCollected::Refused),
            Err(_) => return Err(NotCollected::Unknown),
        }
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_never_used_twice_although_the_last_one_was_forgotten() {
        let now = 1_700_000_000;
        // From releases that counted by one, and from a node that never wrote.
        for old in [0, 1, 77] {
            assert!(next_epoch(old, 0, now, 0) > old);
            assert!(next_epoch(old, 0, 0, 0) > old, "with a clock at 1970");
        }
        let first = next_epoch(0, 0, now, 7);
        let mut last = first;
        for random in [u32::MAX, 0, 5] {
            let next = next_epoch(last, 0, now, random);
            assert!(next > last);
            last = next;
        }
        // Rolled back with a clock that stands still: drawn differently, or above by what is leapt.
        assert_ne!(next_epoch(0, 0, now, 1 << 5), first);
        assert!(next_epoch(first, 1 << 20, 0, 0) > last);
        assert!(next_epoch(u64::MAX, u64::MAX - 1, u64::MAX, u32::MAX) <= i64::MAX as u64);
    }
}
