//! The threads that run queries, so that no read ever delays the async thread or the apply thread.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::oneshot;

use super::query::{QueryError, StateReader};
use super::schema::OpenError;
use super::trouble::Alarm;

/// Queries that may wait; more are refused as busy. At some tens of microseconds each this is a fraction of a second.
const QUEUE_MAX: usize = 4096;

type Job = Box<dyn FnOnce(&StateReader) + Send>;

/// Handle to the query threads. They stop when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Queries {
    jobs: SyncSender<Job>,
    alarm: Alarm,
}

impl Queries {
    /// Opens `threads` readers of the database at `path`, each on a thread of its own. Idle threads sleep in the kernel. A
    /// read that shows a failing or damaged disk is told to `alarm`.
    ///
    /// # Errors
    /// The database cannot be opened, or no thread be started.
    pub fn start(path: &Path, threads: usize, alarm: Alarm) -> Result<Queries, OpenError> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let reader = StateReader::open(path)?;
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("query-{number}"))
                .spawn(move || serve(&reader, &queue))
                .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        }
        Ok(Queries { jobs, alarm })
    }

    /// Runs `query` on one consistent state.
    ///
    /// # Errors
    /// Those of the query; [`QueryError::Busy`] when too many wait.
    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&StateReader) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let (answer, answered) = oneshot::channel();
        let alarm = self.alarm.clone();
        let job = Box::new(move |reader: &StateReader| {
            // Nobody listens any more when the asking connection is gone.
            if !answer.is_closed() {
                let result = reader.snapshot(query);
                if let Err(error) = &result {
                    alarm.raise_if_disk("cannot read state.db", error);
                }
                let _ = answer.send(result);
            }
        });
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => QueryError::Busy,
            TrySendError::Disconnected(_) => QueryError::Stopped,
        })?;
        answered.await.unwrap_or(Err(QueryError::Stopped))
    }
}

fn serve(reader: &StateReader, queue: &Mutex<Receiver<Job>>) {
    loop {
        // One thread waits for a job and the others for the lock; the lock is free again before the job runs.
        let next = queue.lock().expect("no holder of this lock can panic: it only receives").recv();
        match next {
            Ok(job) => job(reader),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::state::StateDb;

    #[test]
    fn queries_run_beside_each_other_and_stop_with_the_last_handle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let _db = StateDb::open(&path).unwrap();
        let queries = Queries::start(&path, 2, Alarm::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            // The first query waits for the second: only two threads can answer both.
            let (first_tx, first_rx) = std::sync::mpsc::channel();
            let first = queries.run(move |_| Ok(first_rx.recv().is_ok()));
            let second = queries.run(move |reader| {
                let applied = reader.applied()?;
                first_tx.send(()).map_err(|_| QueryError::Stopped)?;
                Ok(applied)
            });
            let (first, second) = tokio::join!(first, second);
            assert!(first.unwrap());
            assert_eq!(second.unwrap(), None);
        });
    }

    #[test]
    fn a_full_queue_refuses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let _db = StateDb::open(&path).unwrap();
        let queries = Queries::start(&path, 1, Alarm::default()).unwrap();
        let (entered_tx, entered) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        queries
            .jobs
            .try_send(Box::new(move |_| {
                entered_tx.send(()).unwrap();
                let _ = released.recv();
            }))
            .unwrap();
        entered.recv().unwrap();
        for _ in 0..QUEUE_MAX {
            queries.jobs.try_send(Box::new(|_| {})).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(matches!(runtime.block_on(queries.run(|reader| reader.applied())), Err(QueryError::Busy)));
        drop(release);
    }
}
