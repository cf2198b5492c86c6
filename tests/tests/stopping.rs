//! How a node ends, and that nothing else ends it: signals, and output that nobody takes.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{File, OpenOptions};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::Signal;
use tests::chat_client::Client;
use tests::cluster::{Cluster, Join, Node, built};
use tests::{PATIENCE, legacy_client, wait_for, wait_until};
use wire::chat::{Code, Event};
use wire::codec::Codec;

/// A file that takes nothing: every write fails as on a full disk.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A process that ends with this test.
struct Running(Child);

impl Running {
    fn of(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_closed_terminal_ends_a_node_cleanly_and_signals_without_a_meaning_do_not() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    for signal in [Signal::USR1, Signal::USR2, Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO] {
        node.signal(signal);
    }
    wait_until("the log to name them", || {
        let printed = node.printed();
        ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"].iter().all(|name| printed.contains(name))
    });
    assert!(node.status().is_some_and(|status| status.role == "leader"));
    node.signal(Signal::HUP);
    if outlives_its_terminal() {
        // So does what it starts. The signal sent behind the other is answered, so the other was taken as well.
        node.signal(Signal::USR1);
        wait_until("the log to name the second", || node.printed().matches("SIGUSR1").count() == 2);
        assert!(node.is_running());
        return;
    }
    assert_eq!(node.wait_end(), 0);
    let printed = node.printed();
    assert!(printed.contains("stopping") && printed.contains("SIGHUP") && printed.contains("stopped"), "{printed}");
}

/// Whether this test was started with SIGHUP ignored, as `nohup` does it.
fn outlives_its_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(ignored.trim(), 16).is_ok_and(|ignored| ignored & 1 == 1)
}

/// Waits for the goodbye and returns its code.
#[track_caller]
fn bye(client: &mut Client) -> Code {
    loop {
        let code = client.event(|event| Ok(if let Event::Bye(bye) = event { Some(bye.code) } else { None }));
        if let Some(code) = code.unwrap() {
            return code;
        }
    }
}

#[test]
fn clients_are_told_that_a_node_stops() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let mut clients = [Codec::Samira2, Codec::Json2].map(|codec| Client::connect(node.address(), codec).unwrap());
    let mut known = Client::logged_in(node.address(), Codec::Samira2, "ann").unwrap();
    node.stop();
    clients.iter_mut().for_each(|client| assert_eq!(bye(client), Code::Stopping));
    assert_eq!(bye(&mut known), Code::Stopping);
    let printed = node.printed();
    assert!(printed.contains("stopping") && printed.contains("SIGTERM") && printed.contains("stopped"), "{printed}");
}

#[test]
fn clients_of_a_removed_node_are_told_to_go_to_another() {
    let cluster = Cluster::start(2);
    let gone = &cluster.nodes[cluster.follower()];
    let mut client = Client::connect(gone.address(), Codec::Samira2).unwrap();
    let asked = &cluster.nodes[cluster.leader()];
    asked.ask(&serde_json::json!({ "command": "remove-member", "member": gone.name })).unwrap();
    assert_eq!(bye(&mut client), Code::Stopping);
    assert_eq!(gone.wait_end(), 3);
}

#[test]
fn a_second_signal_ends_a_node_that_still_waits_for_something() {
    let cluster = Cluster::start(2);
    let (node, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    let mut client = legacy_client::Client::connect(node.address(), Codec::Json).unwrap();
    client.signup("ann").unwrap();
    other.freeze();
    thread::scope(|scope| {
        // Held for want of a majority: a reply is owed, and stopping waits for it.
        scope.spawn(move || client.signup("bob").unwrap_err());
        wait_until("the node to miss the other", || node.status().is_some_and(|status| status.leader.is_none()));
        node.signal(Signal::TERM);
        wait_until("it to begin to stop", || node.printed().contains("stopping"));
        node.signal(Signal::INT);
        assert_eq!(node.wait_end(), 1);
    });
    assert!(node.printed().contains("at once"), "{}", node.printed());
    other.thaw();
}

#[test]
fn a_node_whose_output_nobody_takes_waits_for_its_peers_all_the_same() {
    let cluster = Cluster::start(1);
    let code = cluster.nodes[0].invite().code;
    // Hears everything and answers nothing.
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let node = cluster.new_node("joiner");
    let join = Join { peer: peer.local_addr().unwrap().to_string(), code };
    let mut joiner = Running::of(node.command(Some(&join)).stdout(full()).stderr(full()));
    let first = peer.recv_from(&mut [0; 2048]).unwrap().1;
    // Each attempt has a socket of its own; between two of them the node says what it waits for.
    wait_until("a second attempt", || {
        assert!(!joiner.has_ended(), "it has ended");
        peer.recv_from(&mut [0; 2048]).unwrap().1 != first
    });
}

#[test]
fn a_node_whose_output_nobody_takes_serves() {
    let cluster = Cluster::empty();
    let node = cluster.new_node("n1");
    let mut process = Running::of(node.command(None).stdout(full()).stderr(full()));
    let serves = |node: &Node| node.status().is_some_and(|status| status.leader.is_some());
    wait_until("it to serve", || {
        assert!(!process.has_ended(), "it has ended");
        serves(&node)
    });
    // Made for the greeting, which is the last thing that is printed.
    wait_until("the greeting", || node.admin("members").is_ok() && serves(&node));
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let status = wait_for("its end", || process.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn what_commands_print_may_be_read_in_part_but_not_lost() {
    let cluster = Cluster::start(1);
    let dir = &cluster.nodes[0].dir;
    let line = format!("'{}' status --data-dir '{}'", built("node").display(), dir.display());
    let piped = Command::new("sh").args(["-c", &format!("{line} | head -1")]).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{}", String::from_utf8_lossy(&piped.stderr));
    assert_eq!(String::from_utf8_lossy(&piped.stdout).lines().count(), 1);

    let lost = Command::new("sh").args(["-c", &line]).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(lost.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&lost.stderr).contains("cannot be printed"));
}
