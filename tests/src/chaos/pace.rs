//! When clients may go on, and when they were answered.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{PATIENCE, now};

/// Where clients pause together.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    waiting: usize,
    paused: bool,
    stopped: bool,
}

impl Gate {
    /// One more client goes in and out here.
    pub fn enter(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).inside += 1;
    }

    /// One goes for good.
    pub fn leave(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).inside -= 1;
        self.changed.notify_all();
    }

    /// Waits here during a pause. False: it is time to leave.
    pub fn pass(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.paused && !state.stopped {
            state.waiting += 1;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        !state.stopped
    }

    /// Returns when all clients wait here.
    ///
    /// # Panics
    /// When they do not come within [`PATIENCE`].
    pub fn pause(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.paused = true;
        let deadline = now() + PATIENCE;
        while state.waiting < state.inside && !state.stopped {
            let left = deadline.saturating_duration_since(now());
            assert!(left > Duration::ZERO, "some client has had no answer for {PATIENCE:?}");
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the pause.
    pub fn resume(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).paused = false;
        self.changed.notify_all();
    }

    /// Sends all clients home.
    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.changed.notify_all();
    }
}

/// When writes were acknowledged, as far back as somebody still asks.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Beats>);

#[derive(Debug, Default)]
struct Beats {
    total: usize,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl Pulse {
    /// One was acknowledged now.
    pub fn beat(&self) {
        let time = now();
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = beats.last {
            beats.longest_gap = beats.longest_gap.max(time.saturating_duration_since(last));
        }
        beats.last = Some(time);
        beats.total += 1;
    }

    /// How many so far.
    pub fn total(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Measures gaps from now on. The first one begins now, whenever the last beat was.
    pub fn measure(&self) {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (beats.last, beats.longest_gap) = (Some(now()), Duration::ZERO);
    }

    /// The longest time between two acknowledgements since [`Pulse::measure`].
    pub fn longest_gap(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).longest_gap
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::thread;

    use super::*;
    use crate::wait_until;

    #[test]
    fn all_clients_wait_while_the_gate_is_closed() {
        let (gate, steps) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (gate, steps) = (gate.clone(), steps.clone());
                gate.enter();
                thread::spawn(move || {
                    while gate.pass() {
                        steps.fetch_add(1, SeqCst);
                    }
                    gate.leave();
                })
            })
            .collect();
        wait_until("steps", || steps.load(SeqCst) > 0);
        gate.pause();
        let then = steps.load(SeqCst);
        thread::yield_now();
        assert_eq!(steps.load(SeqCst), then);
        gate.resume();
        wait_until("further steps", || steps.load(SeqCst) > then);
        gate.stop();
        clients.into_iter().for_each(|client| client.join().unwrap());
    }

    #[test]
    fn the_gap_that_is_still_open_counts_once_it_ends() {
        let pulse = Pulse::default();
        pulse.measure();
        assert_eq!(pulse.longest_gap(), Duration::ZERO);
        thread::park_timeout(Duration::from_millis(5));
        pulse.beat();
        let gap = pulse.longest_gap();
        assert!(gap > Duration::ZERO);
        pulse.measure();
        assert_eq!((pulse.longest_gap(), pulse.total()), (Duration::ZERO, 1));
    }
}
