//! End-to-end tests: the real binary on loopback, faults, and an oracle over the databases it leaves behind.
//!
//! * [`mod@bench`]: measurements; the program of the same name prints them.
//! * [`chaos`]: campaigns of random faults; the program of the same name runs them.
//! * [`chat_client`]: a small blocking client of our own dialect, that of the crate `contract`.
//! * [`clock`]: a wrong clock under a node.
//! * [`cluster`]: nodes as child processes; start, kill, freeze, stop, wait on conditions.
//! * [`desktop`]: a screen in memory, the real desktop client on it, and hands on its keyboard and mouse.
//! * [`device`]: somebody's device, on the client library.
//! * [`legacy_client`]: a small blocking client in both codecs.
//! * [`legacy_page`]: the chat page of the original's client, that remembers only a count.
//! * [`disk`]: a bad disk under a node.
//! * [`history`]: a past that is longer than the log.
//! * [`load`]: clients that never stop sending.
//! * [`long`]: a conversation of a million messages, and somebody who looks through it.
//! * [`machines`]: nodes with a machine to themselves.
//! * [`netns`]: separate machines on a switch that can be split.
//! * [`oracle`]: what clients were told, held against every node's database.
//! * [`proxy`]: a network between nodes whose ways can be cut.
//! * [`switch`]: long, slow and lossy lines between them.
//!
//! The scenarios are in `tests/tests/`, one file per kind of trouble. Nothing there sleeps: everything waits for a
//! condition with a deadline.

pub mod bench;
pub mod chaos;
pub mod clock;
pub mod cluster;
pub mod desktop;
pub mod device;
pub mod disk;
pub mod history;
pub mod legacy_client;
pub mod legacy_page;
pub mod load;
pub mod long;
pub mod machines;
pub mod netns;
pub mod oracle;
pub mod proxy;
pub mod python;
pub mod speech;
pub mod switch;

pub use contract::client as chat_client;
pub use contract::client::read_some;

use std::io::Write;
use std::time::{Duration, Instant};

/// Far more than anything waits for on a loaded machine; who waits this long has found a fault.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Says loudly that a test is left out, and why: past the test runner, which keeps what passing tests print to itself.
pub fn not_run(name: &str, why: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "\n{name}: NOT RUN, because {why}\n");
}

/// Now.
#[expect(clippy::disallowed_methods, reason = "tests of real processes live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When [`PATIENCE`] is over, naming what was waited for.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// [`wait_for`] something to be true.
///
/// # Panics
/// See there.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
