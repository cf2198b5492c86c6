//! How long frames take, for `cargo xtask bench client`. Nothing is measured unless it is asked for.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use client_fltk::env::Clock;

/// What was measured, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames(Option<Rc<RefCell<Measured>>>);

#[derive(Debug)]
struct Measured {
    clock: Clock,
    frames: Vec<(&'static str, Duration)>,
    /// What turns of the loop took since something was last drawn.
    turns: Duration,
}

/// A turn of the loop: what has happened is taken in, and laid out.
pub(crate) const TURN: &str = "turn";

/// The messages are drawn.
pub(crate) const DRAW: &str = "draw";

/// Both together: what somebody waits for.
const FRAME: &str = "frame";

/// Frames that are kept; later ones are not measured.
const FRAMES_MAX: usize = 1_000_000;

impl Frames {
    /// Measures from now on.
    pub(crate) fn measured() -> Self {
        Self(Some(Rc::new(RefCell::new(Measured { clock: Clock::start(), frames: Vec::new(), turns: Duration::ZERO }))))
    }

    /// Runs something, and keeps how long it took.
    pub(crate) fn measure<T>(&self, what: &'static str, run: impl FnOnce() -> T) -> T {
        let Some(measured) = &self.0 else { return run() };
        let clock = measured.borrow().clock;
        let begin = clock.elapsed();
        let result = run();
        let took = clock.elapsed() - begin;
        let mut measured = measured.borrow_mut();
        if measured.frames.len() < FRAMES_MAX {
            measured.frames.push((what, took));
            if what == DRAW {
                let frame = std::mem::take(&mut measured.turns) + took;
                measured.frames.push((FRAME, frame));
            } else if what == TURN {
                measured.turns += took;
            }
        }
        result
    }

    /// What was measured: of each kind how many, the median, the 99th percentile and the longest, as JSON.
    pub(crate) fn report(&self) -> Option<String> {
        let measured = self.0.as_ref()?.borrow();
        let mut kinds: Vec<_> = measured.frames.iter().map(|(what, _)| *what).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let of = |kind: &str| {
            let mut times: Vec<_> =
                measured.frames.iter().filter(|(what, _)| *what == kind).map(|(_, took)| took.as_micros()).collect();
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100] as u64;
            let (median, p99, longest) = (at(50), at(99), at(100));
            serde_json::json!({ "frames": times.len(), "median_us": median, "p99_us": p99, "longest_us": longest })
        };
        let report: serde_json::Map<_, _> = kinds.into_iter().map(|kind| (kind.to_owned(), of(kind))).collect();
        Some(serde_json::Value::Object(report).to_string())
    }
}
