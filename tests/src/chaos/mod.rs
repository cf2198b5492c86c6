//! Campaigns of random faults against a real cluster under load, and two checks of endurance.
//!
//! * [`schedule`]: what goes wrong, to whom, when: a function of the seed alone ([`rng`]).
//! * [`campaign`]: makes it happen, and measures how long nobody could write.
//!   Its longer faults have files of their own: `absence`, `members` (blank nodes that join), `copies` (of directories).
//! * [`workload`], [`pace`]: clients that go on through all of it and write down what they were told.
//! * [`watch`]: what nodes say of themselves meanwhile must fit together at every moment.
//! * [`accounts`] and [`crate::oracle`]: what clients were told, held against every database at the end.
//! * [`report`]: what came of it.
//! * [`endurance`]: no election without cause; no memory that grows with the number of requests.

mod absence;
pub mod accounts;
pub mod campaign;
mod copies;
pub mod endurance;
mod members;
pub mod pace;
pub mod report;
pub mod rng;
pub mod schedule;
pub mod watch;
pub mod workload;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::now;

/// What was found to be wrong. Clones share their finds.
#[derive(Debug, Clone, Default)]
pub struct Violations(Arc<Mutex<Vec<String>>>);

/// Finds kept; one lie may show up at every further look.
const VIOLATIONS_KEPT: usize = 20;

impl Violations {
    /// One more.
    pub fn report(&self, what: String) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() < VIOLATIONS_KEPT {
            eprintln!("\nVIOLATION: {what}");
            found.push(what);
        }
    }

    /// Runs something that panics when it finds something wrong.
    pub fn guard(&self, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            self.report(said(&*panic));
        }
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// All of them.
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => (*text).into(),
        _ => "a panic without words".into(),
    }
}

/// Lets that much time pass. Time is what a campaign is made of; nothing here is waited for.
pub fn pass(time: Duration) {
    let end = now() + time;
    loop {
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        // Whoever has waited for scoped threads may be woken too early once.
        thread::park_timeout(left);
    }
}

/// Threads that use all the processor time they get, until dropped.
pub struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// So many of them.
    pub fn start(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let hog = |stop: Arc<AtomicBool>| {
            while !stop.load(Relaxed) {
                std::hint::black_box(stop.as_ptr());
            }
        };
        let threads = (0..count).map(|_| stop.clone()).map(|stop| thread::spawn(move || hog(stop))).collect();
        Self { stop, threads }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_a_violation() {
        let found = Violations::default();
        found.guard(|| {});
        assert!(found.is_empty());
        found.guard(|| panic!("wrong by {}", 2));
        assert_eq!(found.list(), ["wrong by 2"]);
    }
}
