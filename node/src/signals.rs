//! Signals: those that ask the server to stop, and those that would end it for nothing.
//!
//! The default action of most signals ends a process where it stands. A closed terminal (SIGHUP) is as good a reason to
//! stop cleanly as SIGTERM, unless the process was started to outlive it (`nohup`). Signals without a meaning here are
//! named in the log and change nothing. SIGQUIT keeps its default: it is how a hung process is made to leave a core.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives signals from the moment it is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` where the process was started with SIGHUP ignored.
    hangup: Option<Signal>,
}

impl Signals {
    /// Begins to receive them; needs a running runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn receive() -> io::Result<Self> {
        for (kind, name) in meaningless() {
            let mut received = signal(kind)?;
            tokio::spawn(async move {
                while received.recv().await.is_some() {
                    tracing::info!(signal = name, "ignored: it has no meaning here");
                }
            });
        }
        let hangup = SignalKind::hangup();
        // Where the system cannot be asked, nobody is taken to have asked for that.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = (!is_ignored(&status, hangup.as_raw_value())).then(|| signal(hangup)).transpose()?;
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Returns with the name of the next signal that asks to stop.
    pub async fn stop(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Signals whose default action would end the process.
fn meaningless() -> Vec<(SignalKind, &'static str)> {
    let mut signals = vec![
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
        (SignalKind::alarm(), "SIGALRM"),
        (SignalKind::io(), "SIGIO"),
    ];
    if cfg!(target_os = "linux") {
        let numbered = [(26, "SIGVTALRM"), (27, "SIGPROF"), (30, "SIGPWR")];
        signals.extend(numbered.map(|(number, name)| (SignalKind::from_raw(number), name)));
        // A file that may not grow is then a failed write, with words about it.
        signals.push((SignalKind::from_raw(25), "SIGXFSZ"));
    }
    signals
}

/// Whether a process with this `/proc/PID/status` was started with a signal ignored.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_was_started_to_ignore_is_read_from_its_status() {
        let status = "Name:\tnode\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t00000001800004e8\n";
        let ignored: Vec<i32> = (0..70).filter(|&signal| is_ignored(status, signal)).collect();
        assert_eq!(ignored, [1, 13]);
        assert!(!is_ignored("", 1) && !is_ignored("SigIgn:\tnonsense\n", 1));
    }
}
