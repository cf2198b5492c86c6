//! `cargo xtask cluster`, as a person uses it who has no terminal: lines in, lines out.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tests::cluster::built;
use tests::{PATIENCE, now, wait_for, wait_until};

const NODES: u16 = 3;

/// A running `cargo xtask cluster`.
struct Xtask {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    base_port: u16,
    seen: Vec<String>,
}

impl Xtask {
    fn start(data_dir: &std::path::Path, base_port: u16) -> Self {
        let mut command = Command::new(built("xtask"));
        command.args(["cluster", "--nodes", &NODES.to_string(), "--base-port", &base_port.to_string(), "--data-dir"]);
        command.arg(data_dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("xtask runs");
        let input = child.stdin.take().expect("stdin was asked for");
        let output = child.stdout.take().expect("stdout was asked for");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once the test is over.
                let _ = sender.send(line);
            }
        });
        Self { child, input, lines, base_port, seen: Vec::new() }
    }

    /// Waits for a line with all of these words.
    fn expect(&mut self, words: &[&str]) -> String {
        let deadline = now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(now()));
            let Ok(line) = line else { panic!("no line with {words:?} in:\n{}", self.seen.join("\n")) };
            self.seen.push(line.clone());
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("it reads what is typed");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child");
    }

    fn wait_until_nobody_listens(&self) {
        for port in self.base_port..self.base_port + NODES {
            wait_until("the nodes to be gone", || TcpStream::connect(("127.0.0.1", port)).is_err());
        }
    }
}

impl Drop for Xtask {
    fn drop(&mut self) {
        // Its nodes die with it; it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three free neighbours, below the ports that the system hands out by itself. The system's tables are asked instead of
/// binding them for a moment: a process that another test starts in that moment inherits them, and they are taken.
fn free_ports(from: u16) -> u16 {
    let taken = taken_ports();
    (from..from + 3000)
        .step_by(usize::from(NODES))
        .find(|&base| (base..base + NODES).all(|port| !taken.contains(&port)))
        .expect("three free ports in a row")
}

/// Every port that a socket of this machine is bound to.
fn taken_ports() -> HashSet<u16> {
    let mut ports = HashSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        // A kernel without IPv6 lacks two of them.
        let rows = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for row in rows.lines().skip(1) {
            let local = row.split_whitespace().nth(1).and_then(|address| address.rsplit_once(':'));
            let (_, port) = local.expect("each row names its local address");
            ports.insert(u16::from_str_radix(port, 16).expect("ports are hexadecimal"));
        }
    }
    ports
}

#[test]
fn a_local_cluster_survives_a_kill_and_stops_as_a_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut xtask = Xtask::start(dir.path(), free_ports(18_000));
    for node in ["node1", "node2", "node3"] {
        xtask.expect(&[node, "serves"]);
    }
    let first = format!("127.0.0.1:{}", xtask.base_port);
    xtask.expect(&["nc", &first.replace(':', " ")]);
    xtask.expect(&["samira://", &first]);
    xtask.expect(&["node1", &first, "leader", "term="]);
    xtask.say("kill 1");
    let hint = xtask.expect(&["node1 is down (signal 9)", "restart 1"]);
    let by_hand = xtask.expect(&["--listen", &first, "--data-dir", "--name node1"]);
    assert!(by_hand.starts_with("  /"), "the whole command follows {hint}: {by_hand}");
    xtask.expect(&[" leader term="]);
    xtask.say("restart 1");
    xtask.expect(&["node1", " follower term="]);
    xtask.signal(Signal::INT);
    let status = wait_for("it to stop", || xtask.child.try_wait().expect("it is our child"));
    assert!(status.success(), "{status}: {}", xtask.seen.join("\n"));
    xtask.wait_until_nobody_listens();

    // What it left starts again, without joining.
    let mut again = Xtask::start(dir.path(), xtask.base_port);
    again.expect(&["node3", "serves"]);
    again.expect(&["node1", "leader="]);
    again.signal(Signal::TERM);
    wait_until("it to stop", || again.child.try_wait().expect("it is our child").is_some());
    again.wait_until_nobody_listens();
}

#[test]
fn killing_the_command_leaves_no_node_behind() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut xtask = Xtask::start(dir.path(), free_ports(24_000));
    xtask.expect(&["node3", "serves"]);
    xtask.signal(Signal::KILL);
    xtask.wait_until_nobody_listens();
}

#[test]
fn a_taken_port_is_explained() {
    let base_port = free_ports(29_000);
    let _taken = TcpListener::bind(("127.0.0.1", base_port + 1)).expect("it was free");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(built("xtask"));
    command.args(["cluster", "--base-port", &base_port.to_string(), "--data-dir"]).arg(dir.path());
    let output = command.stdin(Stdio::null()).output().expect("xtask runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&(base_port + 1).to_string()) && said.contains("cargo xtask cluster --base-port"), "{said}");
}
