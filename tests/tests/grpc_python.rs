//! The original's packages of gRPC, by clients in Python as the original's are: what they are answered, what they lose when
//! nodes die, and what any gRPC client expects of a server.
//!
//! The programs are in tests/python/grpc_*.py. Python's gRPC is in a directory of its own that `cargo xtask test` makes;
//! the modules of messages are made of proto/ here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;
use tests::cluster::{Cluster, run_to_end};
use tests::legacy_client::Client;
use tests::python::{self, ROOT};
use tests::{PATIENCE, not_run, wait_until};
use wire::codec::Codec;

/// How often the leader is killed in a row, unless `SAMIRA_KILLS` says otherwise.
const KILLS: usize = 20;

/// Clients that send meanwhile.
const SENDERS: usize = 4;

/// Messages that each of them gets through between a kill and the next.
const BETWEEN_KILLS: usize = 10;

/// Elections that calls may miss, each time with a new leader before they have come.
const LATE_MAX: usize = 4;

/// Clients at once.
const CROWD: usize = 200;

/// A Python that has gRPC, and the modules that were made of proto/.
struct Python {
    interpreter: PathBuf,
    modules: TempDir,
}

/// Runs a test that needs Python's gRPC. Says so loudly where there is none.
fn with_python(test: &str, body: impl FnOnce(&Python)) {
    // A test lies in <target>/<profile>/deps/.
    let program = std::env::current_exe().expect("a running program has a path");
    let target = program.ancestors().nth(3).expect("cargo puts tests into <target>/<profile>/deps");
    let interpreter = target.join("python").join("bin").join("python");
    let modules = ["-c", "import grpc, grpc_tools, grpc_health, grpc_reflection"];
    if !Command::new(&interpreter).args(modules).output().is_ok_and(|output| output.status.success()) {
        let place = target.join("python");
        return not_run(test, &format!("{} has no gRPC: `cargo xtask test` sets it up", place.display()));
    }
    let python = Python { interpreter, modules: tempfile::tempdir().expect("a temporary directory") };
    python.generate();
    body(&python);
}

impl Python {
    fn generate(&self) {
        let proto = Path::new(ROOT).join("proto");
        let mut command = Command::new(&self.interpreter);
        command.args(["-m", "grpc_tools.protoc", "-I"]).arg(&proto);
        for kind in ["--python_out", "--grpc_python_out"] {
            command.arg(kind).arg(self.modules.path());
        }
        for entry in fs::read_dir(&proto).expect("proto/ is there") {
            let path = entry.expect("proto/ can be read").path();
            if path.extension().is_some_and(|extension| extension == "proto") {
                command.arg(path);
            }
        }
        let output = run_to_end(&mut command);
        assert!(output.status.success(), "protoc: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A program of tests/python.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = python::program(&self.interpreter, program, args);
        // No proxy of the surroundings stands before our own nodes.
        command.env("PYTHONPATH", self.modules.path()).env("no_grpc_proxy", "127.0.0.1").stdin(Stdio::null());
        command
    }

    /// Runs a program to its end, which must be a good one.
    fn run(&self, program: &str, args: &[&str]) {
        python::run(program, &mut self.command(program, args));
    }

    /// Starts a program that one talks with.
    fn start(&self, program: &'static str, args: &[&str]) -> Program {
        let mut command = self.command(program, args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
        let stdout = BufReader::new(child.stdout.take().expect("stdout was asked for"));
        let stdin = child.stdin.take();
        let (told, said) = channel();
        let stored = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&stored);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if line == "stored" {
                    counted.fetch_add(1, Relaxed);
                } else if told.send(line).is_err() {
                    return;
                }
            }
        });
        Program { name: program, child, stdin, said, stored }
    }
}

/// A program that one talks with, line by line. It is ended with the test.
struct Program {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<String>,
    /// How often it has said `stored`, which is not among the other lines.
    stored: Arc<AtomicUsize>,
}

impl Program {
    fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open until it has to end");
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// The next line it says.
    fn line(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{} says nothing: {error}", self.name))
    }

    fn expect(&self, line: &str) {
        assert_eq!(self.line(), line, "said by {}", self.name);
    }

    /// Ends its input, and waits for its end, which must be a good one.
    fn finish(mut self) {
        self.stdin = None;
        let mut status = None;
        wait_until("a program in Python to end", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{} ended with {status:?}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until each of these has stored that many messages more than now.
fn wait_for_more(senders: &mut [Program], messages: usize) {
    let goals: Vec<_> = senders.iter().map(|sender| sender.stored.load(Relaxed) + messages).collect();
    wait_until("all clients to get messages through", || {
        senders.iter_mut().zip(&goals).all(|(sender, &goal)| {
            let status = sender.child.try_wait().expect("it is our child");
            assert!(status.is_none(), "a client has given up: {status:?}");
            sender.stored.load(Relaxed) >= goal
        })
    });
}

/// Addresses of all nodes, the leader's first.
fn leader_first(cluster: &Cluster) -> Vec<String> {
    let mut places: Vec<_> = (0..cluster.nodes.len()).collect();
    places.swap(0, cluster.leader());
    places.into_iter().map(|i| cluster.nodes[i].address().to_string()).collect()
}

#[test]
fn every_method_answers_as_the_originals_did_on_a_leader_and_on_a_follower() {
    with_python("every_method_answers_as_the_originals_did_on_a_leader_and_on_a_follower", |python| {
        let cluster = Cluster::start(3);
        // A login on a socket counts for the socket: to gRPC this one is a stranger.
        let mut stranger = Client::connect(cluster.nodes[0].address(), Codec::Json).expect("a started cluster serves");
        stranger.signup("stranger").expect("a started cluster makes accounts");
        stranger.login("stranger").expect("its account is there");
        let addresses = leader_first(&cluster);
        python.run("grpc_methods.py", &[&addresses[0], &addresses[1], "stranger"]);
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn who_would_rule_or_write_behind_the_log_is_refused_and_changes_nothing() {
    with_python("who_would_rule_or_write_behind_the_log_is_refused_and_changes_nothing", |python| {
        let cluster = Cluster::start(3);
        let mut founder = Client::connect(cluster.nodes[0].address(), Codec::Json).expect("a started cluster serves");
        founder.signup("ann").expect("a started cluster makes accounts");
        cluster.settle();
        let state = || -> Vec<_> {
            let statuses = cluster.nodes.iter().map(|node| node.status().expect("it serves"));
            statuses
                .map(|status| (status.role, status.term, status.leader, status.applied, status.state_hash))
                .collect()
        };
        let before = state();
        let addresses = leader_first(&cluster);
        python.run("grpc_forged.py", &addresses.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(state(), before);
        cluster.stop();
    });
}

/// Replays a recording on a cluster of `count` nodes.
fn replay(test: &str, transcript: &str, count: usize) {
    with_python(test, |python| {
        let cluster = Cluster::start(count);
        let mut nodes: Vec<_> = cluster.nodes.iter().map(|node| format!("{}={}", node.name, node.address())).collect();
        nodes.swap(0, cluster.leader());
        let (transcript, table) =
            (format!("tests/python/transcripts/{transcript}"), "tests/python/grpc_differences.md");
        let mut args = vec![transcript.as_str(), table];
        args.extend(nodes.iter().map(String::as_str));
        python.run("grpc_replay.py", &args);
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn a_recording_of_one_server_is_answered_alike_except_where_the_table_says() {
    replay("a_recording_of_one_server_is_answered_alike_except_where_the_table_says", "grpc-single.jsonl", 1);
}

#[test]
fn a_recording_of_three_servers_is_answered_alike_except_where_the_table_says() {
    replay("a_recording_of_three_servers_is_answered_alike_except_where_the_table_says", "grpc-three-nodes.jsonl", 3);
}

#[test]
fn the_originals_clients_lose_and_reorder_nothing_while_leaders_die() {
    with_python("the_originals_clients_lose_and_reorder_nothing_while_leaders_die", |python| {
        let kills = std::env::var("SAMIRA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
        let cluster = Cluster::start(3);
        let mut senders: Vec<_> = (0..SENDERS)
            .map(|i| {
                let address = cluster.nodes[i % cluster.nodes.len()].address().to_string();
                python.start("grpc_sender.py", &[&address, &format!("sender{i}")])
            })
            .collect();
        senders.iter().for_each(|sender| sender.expect("ready"));
        for _ in 0..kills {
            wait_for_more(&mut senders, BETWEEN_KILLS);
            let leader = cluster.leader();
            let killed = format!("killed {}", cluster.nodes[leader].address());
            for sender in &mut senders {
                sender.tell(&killed);
                sender.expect("noted");
            }
            cluster.nodes[leader].kill();
            wait_for_more(&mut senders, BETWEEN_KILLS);
            cluster.nodes[leader].start(None);
            cluster.wait_voters(3);
        }
        // They compare what they were told with what each node shows.
        senders.iter_mut().for_each(|sender| sender.tell("stop"));
        let found: Vec<Value> = senders
            .into_iter()
            .map(|sender| {
                let line = sender.line();
                sender.finish();
                serde_json::from_str(&line).expect("what it found is an object")
            })
            .collect();
        let sum = |key: &str| -> u64 { found.iter().filter_map(|one| one[key].as_u64()).sum() };
        eprintln!(
            "{kills} kills of the leader: {} messages stored, {} attempts failed, {} messages doubled by the client's own \
             second attempt, {} times a client was stuck",
            sum("stored"),
            sum("failed"),
            sum("doubled"),
            sum("stuck")
        );
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn calls_that_come_during_an_election_are_held_and_answered_well() {
    with_python("calls_that_come_during_an_election_are_held_and_answered_well", |python| {
        let cluster = Cluster::start(3);
        for round in 0..=LATE_MAX {
            let addresses = leader_first(&cluster);
            let mut calls = python.start("grpc_election.py", &[&round.to_string(), &addresses[1], &addresses[2]]);
            calls.expect("ready");
            let leader = &cluster.nodes[cluster.leader()];
            leader.kill();
            calls.tell(&leader.name);
            let said = calls.line();
            calls.finish();
            eprintln!("calls during an election (time, count, longest in ms): {said}");
            leader.start(None);
            cluster.wait_voters(3);
            if said.starts_with("early") {
                cluster.settle();
                cluster.stop();
                return;
            }
        }
        panic!("every time there was a new leader before the calls came");
    });
}

#[test]
fn the_longest_list_fits_what_clients_take() {
    with_python("the_longest_list_fits_what_clients_take", |python| {
        let cluster = Cluster::start(1);
        python.run("grpc_long_list.py", &[&cluster.nodes[0].address().to_string()]);
        cluster.stop();
    });
}

#[test]
fn two_hundred_connections_call_at_once() {
    with_python("two_hundred_connections_call_at_once", |python| {
        let cluster = Cluster::start(3);
        let node = &cluster.nodes[cluster.follower()];
        let clients = || node.status().map(|status| status.clients);
        let crowd = python.start("grpc_crowd.py", &[&node.address().to_string(), &CROWD.to_string()]);
        crowd.expect("connected");
        assert!(clients() >= Some(CROWD as u64), "{:?} connections are open", clients());
        crowd.finish();
        wait_until("all connections to be closed", || clients() == Some(0));
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn health_and_schemas_are_told_as_grpc_clients_expect() {
    with_python("health_and_schemas_are_told_as_grpc_clients_expect", |python| {
        let cluster = Cluster::start(1);
        python.run("grpc_discovery.py", &[&cluster.nodes[0].address().to_string()]);
        cluster.stop();
    });
}
