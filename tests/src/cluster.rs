//! Real nodes as child processes.
//!
//! Each listens on a port of its own choice, read from its ready line and kept over restarts. All die with the test.
//! When a test fails, the end of every node's log is shown.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::netns::Machine;
use crate::{PATIENCE, wait_for, wait_until};

/// Lines of each log shown when a test fails.
const LOG_TAIL_LINES: usize = 60;

/// For one answer of the administration socket, which may have to commit something.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Names a directory of programs that are tested instead of those that would be built: those of another release, perhaps.
const PROGRAMS: &str = "SAMIRA_TEST_PROGRAMS";

/// A binary of this workspace that belongs to this test run, built if it is missing or stale.
///
/// # Panics
/// When it does not build.
pub fn built(name: &'static str) -> PathBuf {
    if let Some(program) = std::env::var_os(PROGRAMS).map(|dir| Path::new(&dir).join(name)).filter(|it| it.exists()) {
        return program;
    }
    static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    // The lock is held while building, so that two tests do not build the same.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    // The whole workspace chooses the features of what is below, or half of it would be built a second time.
    built.entry(name).or_insert_with(|| build(&["--workspace", "--bin", name]).join(name)).clone()
}

/// A library of this workspace that programs load, built if it is missing or stale.
///
/// # Panics
/// When it does not build.
pub fn built_library(name: &'static str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name).or_insert_with(|| build(&["--package", name]).join(format!("lib{name}.so"))).clone()
}

/// Builds, and returns the directory of the results.
fn build(what: &[&str]) -> PathBuf {
    // A test lies in <target>/<profile>/deps/, a program of this crate one step above.
    let program = std::env::current_exe().expect("a running program has a path");
    let mut ancestors = program.ancestors().skip(1).skip_while(|dir| dir.ends_with("deps"));
    let profile = ancestors.next().expect("cargo puts programs into <target>/<profile>");
    let target = profile.parent().expect("a profile lies in a target directory");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet"]).args(what).arg("--target-dir").arg(target);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    // What cargo tells this program about its package is not for the packages built now: some build scripts watch these
    // variables, and would run again.
    for (name, _) in std::env::vars_os() {
        let of_a_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| of_a_package.iter().any(|prefix| name.starts_with(prefix))) {
            build.env_remove(name);
        }
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "{what:?} does not build");
    profile.to_owned()
}

/// What a node says about itself and its cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// `leader`, `follower`, `learner`, `candidate`.
    pub role: String,
    /// Raft term.
    pub term: u64,
    /// Name of the leader, if it knows one.
    pub leader: Option<String>,
    /// Index of the newest log entry.
    pub last_log: Option<u64>,
    /// Index of the newest committed entry.
    pub committed: Option<u64>,
    /// Index of the newest applied entry.
    pub applied: Option<u64>,
    /// Chained hash over everything applied.
    pub state_hash: String,
    /// Everybody in the cluster.
    pub members: Vec<Member>,
    /// Client connections.
    pub clients: u64,
}

/// One node of the cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether it votes.
    pub voter: bool,
}

/// One node: its directory, its address, and its process while it has one.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its data directory.
    pub dir: PathBuf,
    /// Extra arguments of every start.
    pub args: Vec<String>,
    /// Extra environment of every start.
    pub env: Vec<(String, OsString)>,
    /// The machine it runs on, if not this one.
    pub machine: Option<Machine>,
    /// Words behind `node` at every start, as an operator types them, instead of the usual ones: name and directory then
    /// come from the environment.
    pub typed: Option<Vec<String>>,
    address: Mutex<Option<SocketAddr>>,
    process: Mutex<Option<Child>>,
}

/// One of our programs without any argument: nothing of the surroundings configures it, and nobody types into it.
///
/// # Panics
/// When it does not build.
pub fn program(name: &'static str) -> Command {
    let mut command = Command::new(built(name));
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| key.starts_with("SAMIRA_")) {
            command.env_remove(key);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The node's program without any argument; it dies with the test.
///
/// # Panics
/// When it does not build.
pub fn bare_command() -> Command {
    let mut command = program("node");
    die_with_thread_of_test(&mut command);
    command
}

/// Runs a command until it ends by itself, which must happen.
///
/// # Panics
/// When it still runs after [`PATIENCE`].
pub fn run_to_end(command: &mut Command) -> Output {
    let mut child = spawner::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).expect("it can be run");
    let deadline = crate::now() + PATIENCE;
    while child.try_wait().expect("it is our child").is_none() {
        if crate::now() > deadline {
            // The output collected below says why.
            let _ = child.kill();
            let output = child.wait_with_output().expect("it was killed");
            panic!("{command:?} goes on instead of ending: {}", String::from_utf8_lossy(&output.stderr));
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it has ended")
}

/// How a new node finds the cluster.
pub struct Join {
    /// Address of a member.
    pub peer: String,
    /// One-time code.
    pub code: String,
}

impl Node {
    /// A node that has not started.
    pub fn new(cluster_dir: &Path, name: &str) -> Self {
        Self {
            name: name.into(),
            dir: cluster_dir.join(name),
            args: Vec::new(),
            env: Vec::new(),
            machine: None,
            typed: None,
            address: Mutex::new(None),
            process: Mutex::new(None),
        }
    }

    /// Where clients reach it.
    ///
    /// # Panics
    /// Before its first start.
    pub fn address(&self) -> SocketAddr {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).expect("it has started once")
    }

    /// Makes it listen there instead of on a port of its own choice.
    pub fn set_address(&mut self, address: SocketAddr) {
        *self.address.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name)).id()
    }

    /// The command of a start, output not yet decided.
    pub fn command(&self, join: Option<&Join>) -> Command {
        fs::create_dir_all(&self.dir).expect("the test's directory can be written");
        let mut command = bare_command();
        let listen = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        let listen = listen.map_or_else(|| "127.0.0.1:0".into(), |address| address.to_string());
        match &self.typed {
            Some(words) => command.args(words),
            None => command.args(["--listen", &listen, "--name", &self.name, "--data-dir"]).arg(&self.dir),
        };
        command.args(&self.args);
        if self.typed.is_some() {
            command.env("SAMIRA_DATA_DIR", &self.dir);
        }
        // A node without a name takes that of its host.
        if self.typed.is_some() && !self.name.is_empty() {
            command.env("SAMIRA_NAME", &self.name);
        }
        if let Some(machine) = &self.machine {
            machine.prepare(&mut command);
        }
        if let Some(join) = join {
            command.args(["--peers", &join.peer]).env("SAMIRA_JOIN_CODE", &join.code);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Starts it and returns at once; [`Node::wait_ready`] follows.
    ///
    /// # Panics
    /// When it runs already or cannot be run.
    pub fn spawn(&self, join: Option<&Join>) -> Ready {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(process.is_none(), "{} runs already", self.name);
        let mut command = self.command(join);
        let log = self.log();
        let stderr = log.try_clone().expect("a descriptor is free");
        // The starting thread must live as long as the node, or the kernel would end the node with it.
        let mut child = spawner::spawn(command.stdout(Stdio::piped()).stderr(stderr)).expect("the node can be run");
        let stdout = child.stdout.take().expect("stdout was asked for");
        *process = Some(child);
        let (found, ready) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut log = log;
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("ready ") {
                    // Nobody may wait for it any more.
                    let _ = found.send(line.clone());
                }
                let _ = writeln!(log, "{line}");
            }
        });
        Ready(ready)
    }

    /// Waits until it serves clients; returns the fields of its ready line.
    ///
    /// # Panics
    /// When it ends instead, or takes longer than [`PATIENCE`].
    pub fn wait_ready(&self, ready: &Ready) -> BTreeMap<String, String> {
        let line = wait_for(&format!("{} to be ready", self.name), || {
            if let Some(status) = self.try_exit() {
                panic!("{} ended instead of serving: {status}", self.name);
            }
            ready.0.recv_timeout(Duration::from_millis(20)).ok()
        });
        let fields = fields(&line);
        let address = fields.get("address").and_then(|address| address.parse().ok());
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(address.expect("the ready line has an address"));
        fields
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// As [`Node::spawn`] and [`Node::wait_ready`].
    pub fn start(&self, join: Option<&Join>) -> BTreeMap<String, String> {
        let ready = self.spawn(join);
        self.wait_ready(&ready)
    }

    /// Runs it until it ends by itself, which must happen.
    ///
    /// # Panics
    /// When it still runs after [`PATIENCE`].
    pub fn run_to_end(&self, join: Option<&Join>) -> Output {
        run_to_end(&mut self.command(join))
    }

    fn log(&self) -> File {
        let path = self.dir.join("node.log");
        OpenOptions::new().create(true).append(true).open(path).expect("the test's directory can be written")
    }

    /// Runs it although it must not be let in; returns what it says to that.
    ///
    /// # Panics
    /// When it ends with success, or not at all.
    pub fn refused(&self, join: &Join) -> String {
        let output = self.run_to_end(Some(join));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        said
    }

    /// Everything it has printed, standard output and log.
    pub fn printed(&self) -> String {
        let bytes = fs::read(self.dir.join("node.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn try_exit(&self) -> Option<ExitStatus> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let status = process.as_mut()?.try_wait().expect("it is our child")?;
        *process = None;
        Some(status)
    }

    /// Whether it has a process.
    pub fn is_running(&self) -> bool {
        self.try_exit();
        self.process.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let child = process.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name));
        kill_process(Pid::from_child(child), signal).expect("it is our child");
    }

    /// Waits until it has ended by itself; returns its exit code.
    ///
    /// # Panics
    /// When it goes on, or a signal ended it.
    pub fn wait_end(&self) -> i32 {
        let status = wait_for(&format!("{} to end by itself", self.name), || self.try_exit());
        status.code().unwrap_or_else(|| panic!("{} was ended by {status}", self.name))
    }

    /// `kill -9`, and waits for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        wait_until(&format!("the end of {}", self.name), || self.try_exit().is_some());
    }

    /// Sends `kill -9` and does not wait for the end.
    fn strike(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits until its process has ended by itself.
    ///
    /// # Panics
    /// When it goes on for longer than [`PATIENCE`].
    pub fn wait_exit(&self) -> ExitStatus {
        wait_for(&format!("{} to end by itself", self.name), || self.try_exit())
    }

    /// Sends what Ctrl-C sends, and waits until it has ended in whatever way.
    ///
    /// # Panics
    /// When it goes on for longer than [`PATIENCE`].
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
        self.wait_exit();
    }

    /// Stops it where it stands, as a hung machine would, and returns once it stands.
    ///
    /// # Panics
    /// When it goes on for longer than [`PATIENCE`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let state = format!("/proc/{}/stat", self.pid());
        wait_until(&format!("{} to stand still", self.name), || {
            let state = fs::read_to_string(&state).unwrap_or_default();
            // Behind the program's name, which is in brackets.
            state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        });
    }

    /// Lets it go on after [`Node::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// When it does not end with success.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let status = wait_for(&format!("{} to stop", self.name), || self.try_exit());
        assert!(status.success(), "{} stopped with {status}", self.name);
    }

    /// One command to its administration socket.
    ///
    /// # Errors
    /// When nobody answers, or it answers with an error.
    pub fn admin(&self, command: &str) -> Result<Value> {
        self.ask(&json!({ "command": command }))
    }

    /// One request to its administration socket.
    ///
    /// # Errors
    /// As [`Node::admin`].
    pub fn ask(&self, request: &Value) -> Result<Value> {
        ask(&self.dir, request)
    }

    /// Its status, if it answers.
    pub fn status(&self) -> Option<Status> {
        Some(serde_json::from_value(self.admin("status").ok()?).expect("status has the promised keys"))
    }

    /// A fresh way into its cluster.
    ///
    /// # Panics
    /// When it gives none.
    pub fn invite(&self) -> Join {
        let answer = self.admin("join-code").expect("a serving node gives join codes");
        Join { peer: self.address().to_string(), code: answer["code"].as_str().expect("a code is text").into() }
    }
}

/// One request to the administration socket of the node on `dir`.
///
/// # Errors
/// When nobody answers, or it answers with an error.
pub fn ask(dir: &Path, request: &Value) -> Result<Value> {
    let mut socket = UnixStream::connect(dir.join("admin.sock")).context("no administration socket")?;
    socket.set_read_timeout(Some(ADMIN_TIMEOUT))?;
    writeln!(socket, "{request}")?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line).context("the answer is no JSON")?;
    match answer["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}

/// Where the ready line of a start will show up.
pub struct Ready(std::sync::mpsc::Receiver<String>);

/// The `key=value` words of a line.
fn fields(line: &str) -> BTreeMap<String, String> {
    line.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// Several nodes of one cluster. Their directories vanish with it.
pub struct Cluster {
    /// All of them, running or not.
    pub nodes: Vec<Node>,
    dir: TempDir,
}

impl Cluster {
    /// Starts `count` nodes and waits until all vote.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn start(count: usize) -> Self {
        Self::start_prepared(count, |_| {})
    }

    /// [`Cluster::start`], with something done to each node before its first start.
    ///
    /// # Panics
    /// See there.
    pub fn start_prepared(count: usize, mut prepare: impl FnMut(&mut Node)) -> Self {
        let mut cluster = Self::empty();
        for _ in 0..count {
            cluster.add_prepared(&mut prepare);
        }
        cluster.wait_voters(count);
        cluster
    }

    /// No nodes yet.
    ///
    /// # Panics
    /// When there is no temporary directory.
    pub fn empty() -> Self {
        Self { nodes: Vec::new(), dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Leaves the nodes' directories behind, and says where they are.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// A further node, not started.
    pub fn new_node(&self, name: &str) -> Node {
        Node::new(self.dir.path(), name)
    }

    /// Starts one more node: the first founds the cluster, the others join it.
    ///
    /// # Panics
    /// When it does not serve in time.
    pub fn add_node(&mut self) -> &Node {
        self.add_prepared(|_| {})
    }

    fn add_prepared(&mut self, prepare: impl FnOnce(&mut Node)) -> &Node {
        let mut node = self.new_node(&format!("n{}", self.nodes.len() + 1));
        prepare(&mut node);
        let join = self.nodes.iter().find(|node| node.is_running()).map(Node::invite);
        // In the list before its start, so that its log is shown if that fails.
        self.nodes.push(node);
        let node = self.nodes.last().expect("just pushed");
        node.start(join.as_ref());
        node
    }

    /// Those that have a process.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// Waits until every running node sees `count` voters and the same leader.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn wait_voters(&self, count: usize) {
        wait_until(&format!("{count} voters with one leader"), || {
            let statuses: Vec<_> = self.running().filter_map(Node::status).collect();
            statuses.len() == self.running().count()
                && statuses.iter().all(|status| {
                    status.members.iter().filter(|member| member.voter).count() == count
                        && status.leader.is_some()
                        && status.leader == statuses[0].leader
                })
        });
    }

    /// Place of the leader among the nodes, once there is one.
    ///
    /// # Panics
    /// When none shows up.
    pub fn leader(&self) -> usize {
        wait_for("a leader", || {
            self.nodes
                .iter()
                .position(|node| node.is_running() && node.status().is_some_and(|status| status.role == "leader"))
        })
    }

    /// Place of a node that runs and does not lead.
    ///
    /// # Panics
    /// When there is none.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.nodes.len())
            .find(|&i| i != leader && self.nodes[i].is_running())
            .expect("a cluster of several nodes has a follower")
    }

    /// Waits until all running nodes have applied the same entries and nothing is under way.
    ///
    /// # Panics
    /// When that does not come about, or when replicas at the same entry differ.
    pub fn settle(&self) {
        wait_until("all nodes to have applied the same entries", || {
            let statuses: Vec<_> = self.running().filter_map(Node::status).collect();
            let Some(first) = statuses.first() else { return false };
            for status in &statuses {
                if status.applied == first.applied {
                    assert_eq!(status.state_hash, first.state_hash, "replicas differ at {:?}", first.applied);
                }
            }
            statuses.len() == self.running().count()
                && statuses.iter().all(|status| {
                    status.applied == first.applied
                        && status.applied == status.committed
                        && status.committed == status.last_log
                })
        });
    }

    /// `kill -9` to several nodes at the same instant, as when they shared a power strip.
    ///
    /// # Panics
    /// When one does not run.
    pub fn kill_together(&self, places: &[usize]) {
        places.iter().for_each(|&i| self.nodes[i].strike());
        for &i in places {
            self.nodes[i].wait_exit();
        }
    }

    /// Starts several stopped nodes at the same time, and waits until they serve clients.
    ///
    /// # Panics
    /// When one does not.
    pub fn start_together(&self, places: &[usize]) {
        let starting: Vec<_> = places.iter().map(|&i| (&self.nodes[i], self.nodes[i].spawn(None))).collect();
        for (node, ready) in &starting {
            node.wait_ready(ready);
        }
    }

    /// Stops all nodes cleanly, the leader last, so that nobody has to be elected for the last moments.
    ///
    /// # Panics
    /// When one does not stop with success.
    pub fn stop(&self) {
        let leader = self.leader();
        for (i, node) in self.nodes.iter().enumerate() {
            if i != leader && node.is_running() {
                node.stop();
            }
        }
        self.nodes[leader].stop();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            let mut process = node.process.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mut child) = process.take() {
                // Fails only when it has ended already. SIGKILL ends frozen ones as well.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if thread::panicking() {
            for node in &self.nodes {
                let printed = node.printed();
                let lines: Vec<_> = printed.lines().collect();
                eprintln!("---- the end of {}'s log", node.name);
                for line in &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..] {
                    eprintln!("{line}");
                }
            }
        }
    }
}

#[expect(unsafe_code, reason = "what runs between fork and exec is unsafe to declare; see below")]
pub(crate) fn before_exec(command: &mut Command, calls: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. Both callers make plain system calls, and
    // an error from a number; nothing allocates, locks or unwinds.
    unsafe {
        command.pre_exec(calls);
    }
}

pub(crate) fn die_with_thread_of_test(command: &mut Command) {
    let parent = rustix::process::getpid();
    before_exec(command, move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above took effect.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    });
}

/// The kernel's parent-death signal follows the *thread* that forked. Scenarios start nodes from threads that end, so one
/// thread that lives as long as the program does all the forking.
pub(crate) mod spawner {
    use std::io;
    use std::process::{Child, Command};
    use std::sync::mpsc::{Sender, channel, sync_channel};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::thread;

    type Job = Box<dyn FnOnce() + Send>;

    pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
        static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
        let spawner = SPAWNER.get_or_init(|| {
            let (jobs, queue) = channel::<Job>();
            thread::spawn(move || queue.into_iter().for_each(|job| job()));
            Mutex::new(jobs)
        });
        // The command moves there and back: it is borrowed here and must be owned there.
        let mut owned = std::mem::replace(command, Command::new(""));
        let (answer, result) = sync_channel(1);
        let job = Box::new(move || {
            let child = owned.spawn();
            // The other side waits for exactly this.
            let _ = answer.send((child, owned));
        });
        spawner.lock().unwrap_or_else(PoisonError::into_inner).send(job).expect("the spawner lives for good");
        let (child, owned) = result.recv().expect("the spawner answers");
        *command = owned;
        child
    }
}
