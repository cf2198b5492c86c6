//! A wrong clock under a node: see the crate `clockfaults`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cluster::{Node, built_library};

/// The time of day as one node sees it. In place from its next start on, and moved while it runs.
#[derive(Debug)]
pub struct WrongClock {
    file: PathBuf,
}

impl WrongClock {
    /// Puts one under a node that does not run yet. It is right until told otherwise.
    ///
    /// # Panics
    /// When the test's directory cannot be written, or the library does not build.
    pub fn under(node: &mut Node) -> Self {
        fs::create_dir_all(&node.dir).expect("the test's directory can be written");
        let file = node.dir.canonicalize().expect("it was just made").with_extension("clock");
        fs::write(&file, [0; 8]).expect("the test's directory can be written");
        node.env.push(("LD_PRELOAD".into(), built_library("clockfaults").into()));
        node.env.push(("CLOCKFAULTS_FILE".into(), file.clone().into()));
        WrongClock { file }
    }

    /// It is this much ahead (or behind, if negative) from now on.
    ///
    /// # Panics
    /// When the test's directory cannot be written.
    pub fn move_by(&self, seconds: i64) {
        let nanos = seconds.checked_mul(1_000_000_000).expect("a few hundred years fit");
        let file = OpenOptions::new().write(true).open(&self.file).expect("it was made");
        // All at once: the node may look at any moment.
        file.write_all_at(&nanos.to_ne_bytes(), 0).expect("the test's directory can be written");
    }

    /// It begins in 1970, as that of a board without a battery does.
    ///
    /// # Panics
    /// As [`WrongClock::move_by`].
    pub fn begin_in_1970(&self) {
        self.move_by(-i64::try_from(true_time().as_secs()).expect("centuries fit"));
    }
}

/// Since 1970, as the machine of the test has it.
///
/// # Panics
/// When its own clock is before 1970.
#[expect(clippy::disallowed_methods, reason = "tests of wrong clocks compare with the right one")]
pub fn true_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock of the test machine is right")
}
