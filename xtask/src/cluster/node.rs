//! One node of the local cluster as a child process.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::admin::{self, Status};

/// Time for a node to serve clients after its start. Joining copies the whole state of the cluster.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Lines of its log shown when a node fails to start.
const LOG_TAIL_LINES: usize = 15;

/// How a new node finds the cluster.
pub(super) struct Join {
    pub(super) peer: String,
    pub(super) code: String,
}

/// One node: where it lives, and its process while it has one.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) data_dir: PathBuf,
    binary: PathBuf,
    process: Option<Child>,
    /// Why it has no process.
    pub(super) ended: Option<String>,
    /// Its last answer, and none while it does not answer.
    pub(super) status: Option<Status>,
}

impl Node {
    pub(super) fn new(binary: &Path, cluster_dir: &Path, number: u16, port: u16) -> Self {
        let name = format!("node{number}");
        Self {
            address: format!("127.0.0.1:{port}"),
            data_dir: cluster_dir.join(&name),
            binary: binary.to_owned(),
            name,
            process: None,
            ended: None,
            status: None,
        }
    }

    /// Whether it has been part of a cluster before.
    pub(super) fn has_data(&self) -> bool {
        self.data_dir.join("log.db").exists()
    }

    /// Where its output goes.
    pub(super) fn log_path(&self) -> PathBuf {
        self.data_dir.join("node.log")
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The line that starts it again by hand.
    pub(super) fn command_line(&self) -> String {
        let quote = |path: &Path| {
            let text = path.display().to_string();
            if text.contains(|c: char| c.is_whitespace() || c == '\'') {
                format!("'{}'", text.replace('\'', r"'\''"))
            } else {
                text
            }
        };
        format!(
            "{} --listen {} --data-dir {} --name {}",
            quote(&self.binary),
            self.address,
            quote(&self.data_dir),
            self.name
        )
    }

    /// Starts the process. It ends when this one does, however that comes about.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub(super) fn start(&mut self, join: Option<&Join>) -> Result<Starting> {
        fs::create_dir_all(&self.data_dir).with_context(|| format!("cannot make {}", self.data_dir.display()))?;
        let open = || OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = open().with_context(|| format!("cannot write {}", self.log_path().display()))?;
        let mut command = Command::new(&self.binary);
        command.args(["--listen", &self.address, "--name", &self.name]).arg("--data-dir").arg(&self.data_dir);
        // What the shell has set must not reach into a cluster that this command defines. The code travels in the
        // environment because arguments can be read by everybody on the machine.
        command.env_remove("SAMIRA_JOIN_CODE").env_remove("SAMIRA_PEERS");
        if let Some(join) = join {
            command.args(["--peers", &join.peer]).env("SAMIRA_JOIN_CODE", &join.code);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(open()?);
        die_with_parent(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.binary.display()))?;
        let stdout = child.stdout.take().expect("stdout was asked for");
        let (ready_tx, ready) = mpsc::channel();
        thread::spawn(move || copy_until_ready(stdout, log, &ready_tx));
        self.process = Some(child);
        self.ended = None;
        self.status = None;
        Ok(Starting { ready })
    }

    /// Waits until it serves clients.
    ///
    /// # Errors
    /// When it ended instead, took too long, or `stopping` says so; with the last lines of its log.
    pub(super) fn wait_ready(&mut self, starting: &Starting, stopping: impl Fn() -> bool) -> Result<()> {
        let deadline = now() + READY_TIMEOUT;
        loop {
            match starting.ready.recv_timeout(Duration::from_millis(50)) {
                Ok(()) => return Ok(()),
                Err(_) if stopping() => bail!("interrupted"),
                Err(_) if self.reap() => bail!(
                    "{} did not start: {}\n{}",
                    self.name,
                    self.ended.as_deref().unwrap_or_default(),
                    self.log_tail()
                ),
                Err(_) if now() > deadline => {
                    bail!("{} is not ready after {READY_TIMEOUT:?}\n{}", self.name, self.log_tail())
                }
                Err(_) => {}
            }
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().rev().take(LOG_TAIL_LINES).collect();
        let tail: Vec<_> = lines.into_iter().rev().map(|line| format!("  | {line}")).collect();
        format!("{}\n  the whole log: {}", tail.join("\n"), self.log_path().display())
    }

    /// Asks for its status.
    pub(super) fn refresh(&mut self, timeout: Duration) {
        self.status = self.process.as_ref().and_then(|_| admin::status(&self.data_dir, timeout).ok());
    }

    /// Notes its end. True when that was news.
    pub(super) fn reap(&mut self) -> bool {
        let Some(status) = self.process.as_mut().and_then(|child| child.try_wait().ok().flatten()) else {
            return false;
        };
        self.process = None;
        self.status = None;
        self.ended = Some(describe(status));
        true
    }

    /// Sends a signal, if there is anybody to get it.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.process {
            // It may have ended by itself; it is not reaped yet, so the id is still its own.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Ends it without asking, and waits.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            // Fails only when it has ended already.
            let _ = child.kill();
            self.ended = child.wait().ok().map(describe);
            self.status = None;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A node on its way to serve.
pub(super) struct Starting {
    ready: mpsc::Receiver<()>,
}

fn copy_until_ready(stdout: ChildStdout, mut log: File, ready: &mpsc::Sender<()>) {
    for line in BufReader::new(stdout).split(b'\n') {
        let Ok(mut line) = line else { return };
        if line.starts_with(b"ready ") {
            // Nobody waits any more when the start was given up.
            let _ = ready.send(());
        }
        line.push(b'\n');
        // A full disk must not stop the node on its full pipe.
        let _ = log.write_all(&line);
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".into(),
    }
}

#[expect(unsafe_code, reason = "what runs between fork and exec is unsafe to declare; see below")]
fn die_with_parent(command: &mut Command) {
    // A group of its own: Ctrl-C in the terminal reaches this process only, which then stops the nodes in order.
    command.process_group(0);
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. These are two plain system calls, and an
    // error made from a number; nothing allocates, locks or unwinds.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the line above took effect.
            if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a developer command has no clock to inject")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_can_be_pasted_into_a_shell() {
        let node = Node::new(Path::new("/t/node"), Path::new("/d/it's here"), 2, 5556);
        let expected = r"/t/node --listen 127.0.0.1:5556 --data-dir '/d/it'\''s here/node2' --name node2";
        assert_eq!(node.command_line(), expected);
    }
}
