//! The apply thread: the only writer of `state.db`.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use wire::replication::command::Outcome;
use wire::replication::entry::{LogId, Membership};

use super::entry::LogEntry;
use super::make_way;
use super::snapshot::SnapshotFile;
use super::state::{ApplyError, CopyError, StateDb};
use super::trouble::Alarm;
use crate::limits::{APPLY_JOBS_MAX, APPLY_NICE};

/// Called with what came of a job.
pub type Done<T> = Box<dyn FnOnce(Result<T, ApplyFailed>) + Send>;

/// Members and the entry that named them, behind the last applied entry.
pub type Position = (Option<LogId>, (Option<LogId>, Membership));

/// Why a job failed. The state is as before it; the node must stop, for a replica unsure of its state must not vote.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFailed {
    /// Applying.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Installing a snapshot.
    #[error(transparent)]
    Install(#[from] CopyError),
    /// The thread has ended.
    #[error("the apply thread is gone")]
    Gone,
}

enum Job {
    Position(Done<Position>),
    Apply(Vec<LogEntry>, Done<Vec<Vec<Vec<Outcome>>>>),
    Install(SnapshotFile, Done<()>),
}

/// Handle to the apply thread; it ends with the last handle.
#[derive(Debug, Clone)]
pub struct ApplyThread {
    jobs: SyncSender<Job>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Job::Position(_) => "Position",
            Job::Apply(..) => "Apply",
            Job::Install(..) => "Install",
        })
    }
}

impl ApplyThread {
    /// Starts the thread around an open database. Failures are told to `alarm`.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(mut state: StateDb, alarm: Alarm) -> io::Result<Self> {
        state.keep_log_short(alarm.clone())?;
        let (jobs, queue) = sync_channel(APPLY_JOBS_MAX);
        std::thread::Builder::new().name("apply".into()).spawn(move || run(state, &queue, &alarm))?;
        Ok(ApplyThread { jobs })
    }

    /// What is applied.
    pub fn position(&self, done: Done<Position>) {
        self.send(Job::Position(done));
    }

    /// Applies entries in one transaction; `done` gets per entry one list of outcomes per run.
    pub fn apply(&self, entries: Vec<LogEntry>, done: Done<Vec<Vec<Vec<Outcome>>>>) {
        self.send(Job::Apply(entries, done));
    }

    /// Replaces the state by a snapshot.
    pub fn install(&self, file: SnapshotFile, done: Done<()>) {
        self.send(Job::Install(file, done));
    }

    fn send(&self, job: Job) {
        if let Err(gone) = self.jobs.send(job) {
            match gone.0 {
                Job::Position(done) => done(Err(ApplyFailed::Gone)),
                Job::Apply(_, done) => done(Err(ApplyFailed::Gone)),
                Job::Install(_, done) => done(Err(ApplyFailed::Gone)),
            }
        }
    }
}

fn run(mut state: StateDb, queue: &Receiver<Job>, alarm: &Alarm) {
    make_way(APPLY_NICE);
    loop {
        let next = match state.sweep_due() {
            Some(wait) => queue.recv_timeout(wait),
            None => queue.recv().map_err(RecvTimeoutError::from),
        };
        let job = match next {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                let goes_on = alarm.reason().is_none();
                let _ = told(alarm, "cannot write state.db", state.sweep(goes_on).map_err(ApplyFailed::from));
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match job {
            Job::Position(done) => done(Ok((state.applied(), state.membership()))),
            Job::Apply(entries, done) => {
                let applied = state.apply(entries.iter().map(LogEntry::as_wire)).map_err(ApplyFailed::from);
                done(
                    told(alarm, "cannot apply to state.db", applied)
                        .map(|applied| applied.into_iter().map(|entry| entry.outcomes).collect()),
                );
                // Told behind the answer: what was applied stays so.
                let _ = told(alarm, "cannot write state.db", state.tend().map_err(ApplyFailed::from));
            }
            Job::Install(file, done) => {
                let installed = state.install_checked(file.path()).map_err(ApplyFailed::from);
                done(told(alarm, "cannot install a snapshot into state.db", installed));
            }
        }
    }
}

/// Raises the alarm for a failed job, before anybody learns of it.
fn told<T>(alarm: &Alarm, what: &str, result: Result<T, ApplyFailed>) -> Result<T, ApplyFailed> {
    result.inspect_err(|error| alarm.raise(what, error))
}
