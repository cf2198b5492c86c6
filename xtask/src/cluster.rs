//! `cargo xtask cluster`: a cluster of real nodes on loopback, watched in a live table.
//!
//! The first node starts alone; each further one joins with a code asked from the first. Nodes that have data already are
//! just started. All are children that die with this process, even when it is killed.

mod admin;
mod node;
mod table;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;

use self::node::{Join, Node, now};
use crate::cargo;

/// Between two looks at the nodes.
const REFRESH: Duration = Duration::from_secs(1);

/// For one answer of a node. A frozen one must not hold up the table for long.
const STATUS_TIMEOUT: Duration = Duration::from_millis(300);

/// For a join code: it has to be committed first.
const JOIN_CODE_TIMEOUT: Duration = Duration::from_secs(15);

/// For a new node to get a vote, before that is remarked on.
const VOTE_TIMEOUT: Duration = Duration::from_secs(20);

/// For a clean stop, before the nodes are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the nodes keep their data, unless something else is said.
pub(crate) const DATA_DIR: &str = "samira-data";

/// In there: profiles of desktop clients of this cluster.
pub(crate) const CLIENTS_DIR: &str = "clients";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    nodes: u16,
    /// Node i listens on 127.0.0.1:(base-port + i - 1)
    #[arg(long, default_value_t = 5555, value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// Where node i keeps its data, in nodeI/
    #[arg(long, default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Delete what former runs left in the data directory first
    #[arg(long)]
    fresh: bool,
    /// Build with optimisation
    #[arg(long)]
    release: bool,
}

/// What the user typed, or the signal to stop.
enum Input {
    Line(String),
    Stop,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (input_tx, input) = mpsc::channel();
    let signals = input_tx.clone();
    // A send fails only when everything is being torn down already.
    ctrlc::set_handler(move || drop(signals.send(Input::Stop))).context("cannot catch Ctrl-C")?;

    let data_dir = std::path::absolute(&args.data_dir)?;
    if args.fresh {
        remove_former(&data_dir)?;
    }
    let count = args.nodes.max(existing_nodes(&data_dir)?.into_iter().max().unwrap_or(0));
    if count > args.nodes {
        println!("{} holds {count} nodes; starting all of them (--fresh begins anew)", args.data_dir.display());
    }
    if u32::from(args.base_port) + u32::from(count) > 65536 {
        bail!("{count} nodes do not fit between port {} and 65535; choose a lower --base-port", args.base_port);
    }
    (0..count).try_for_each(|i| check_port(args.base_port + i, count))?;

    let binary = cargo::build_binary("node", args.release)?;
    let mut cluster = Cluster {
        nodes: (1..=count).map(|i| Node::new(&binary, &data_dir, i, args.base_port + i - 1)).collect(),
        input,
        pending: VecDeque::new(),
        stopping: false,
    };
    let result = cluster.start().and_then(|()| {
        thread::spawn(move || read_lines(&input_tx));
        cluster.introduce();
        cluster.watch()
    });
    let interrupted = cluster.stopping;
    cluster.stop();
    if interrupted { Ok(()) } else { result }
}

/// The numbers of the nodes that have a directory.
fn existing_nodes(data_dir: &Path) -> Result<Vec<u16>> {
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", data_dir.display()))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix("node")?.parse::<u16>().ok()));
    }
    Ok(numbers)
}

/// Removes node1/, node2/ ... and the profiles of their clients, and nothing else: the directory may be anybody's.
fn remove_former(data_dir: &Path) -> Result<()> {
    let nodes = existing_nodes(data_dir)?.into_iter().map(|number| data_dir.join(format!("node{number}")));
    let clients = data_dir.join(CLIENTS_DIR);
    for path in nodes.chain(clients.exists().then_some(clients)) {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// The client link of the cluster that runs on `data_dir`, from the first node that answers.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn client_link(data_dir: &Path) -> Result<Option<String>> {
    let mut numbers = existing_nodes(data_dir)?;
    numbers.sort_unstable();
    let statuses = numbers
        .into_iter()
        .filter_map(|number| admin::status(&data_dir.join(format!("node{number}")), STATUS_TIMEOUT).ok());
    Ok(statuses.map(|status| status.client_link).next())
}

/// Clients come over TCP, other nodes over UDP, on the same number.
fn check_port(port: u16, count: u16) -> Result<()> {
    let free = TcpListener::bind(("127.0.0.1", port)).map(drop).and(UdpSocket::bind(("127.0.0.1", port)).map(drop));
    free.map_err(|error| {
        let other = if port < 50_000 { port + 100 } else { port - 100 - count };
        anyhow!(
            "port {port} cannot be used ({error}). Is another cluster running? Stop it, or choose other ports: \
             cargo xtask cluster --base-port {other}"
        )
    })
}

fn read_lines(input: &mpsc::Sender<Input>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if input.send(Input::Line(line)).is_err() {
            return;
        }
    }
}

struct Cluster {
    nodes: Vec<Node>,
    input: mpsc::Receiver<Input>,
    /// Typed while the nodes were starting.
    pending: VecDeque<String>,
    stopping: bool,
}

impl Cluster {
    /// Starts those that have data, then the others one by one: a node joins a cluster that serves.
    fn start(&mut self) -> Result<()> {
        let (mut known, mut new): (Vec<_>, Vec<_>) = (0..self.nodes.len()).partition(|&i| self.nodes[i].has_data());
        if known.is_empty() {
            known.push(new.remove(0));
        }
        let starting: Vec<_> = known.iter().map(|&i| Ok((i, self.nodes[i].start(None)?))).collect::<Result<_>>()?;
        for (i, starting) in &starting {
            self.wait_ready(*i, starting)?;
        }
        let contact = known[0];
        for i in new {
            let code = admin::join_code(&self.nodes[contact].data_dir, JOIN_CODE_TIMEOUT)
                .with_context(|| format!("{} gives no join code", self.nodes[contact].name))?;
            let join = Join { peer: self.nodes[contact].address.clone(), code: code.code };
            let starting = self.nodes[i].start(Some(&join))?;
            self.wait_ready(i, &starting)?;
        }
        self.wait_until_all_vote(contact)
    }

    /// Who has just joined catches up first; before that its vote does not replace that of a node that dies.
    fn wait_until_all_vote(&mut self, contact: usize) -> Result<()> {
        let deadline = now() + VOTE_TIMEOUT;
        loop {
            let status = admin::status(&self.nodes[contact].data_dir, STATUS_TIMEOUT);
            let voters = status.map_or(0, |status| status.members.iter().filter(|member| member.voter).count());
            if voters >= self.nodes.len() {
                return Ok(());
            }
            if now() > deadline {
                println!("only {voters} of {} nodes vote so far", self.nodes.len());
                return Ok(());
            }
            match self.input.recv_timeout(Duration::from_millis(50)) {
                Ok(Input::Line(line)) => self.pending.push_back(line),
                Ok(Input::Stop) => {
                    self.stopping = true;
                    bail!("interrupted");
                }
                Err(_) => {}
            }
        }
    }

    fn wait_ready(&mut self, i: usize, starting: &node::Starting) -> Result<()> {
        let Self { nodes, input, pending, stopping } = self;
        let interrupted = std::cell::Cell::new(false);
        let pending = std::cell::RefCell::new(pending);
        let result = nodes[i].wait_ready(starting, || {
            while let Ok(input) = input.try_recv() {
                match input {
                    Input::Line(line) => pending.borrow_mut().push_back(line),
                    Input::Stop => interrupted.set(true),
                }
            }
            interrupted.get()
        });
        *stopping |= interrupted.get();
        if result.is_ok() {
            println!("{} serves on {}", nodes[i].name, nodes[i].address);
        }
        result
    }

    fn introduce(&self) {
        let first = &self.nodes[0].address;
        let second = &self.nodes[self.nodes.len().min(2) - 1].address;
        let spaced = |address: &str| address.replace(':', " ");
        println!();
        println!("Every node serves every client. In JSON:");
        println!(
            "  printf '{{\"client_id\": \"me\", \"message\": \"connection_request\"}}' | nc -q1 {}",
            spaced(first)
        );
        println!("The same in SAMIRA/1, told apart by the first byte:");
        println!(
            "  printf '\\007\\0\\0\\0\\001\\0\\011client_id\\001\\0\\0\\0\\002me' | nc -q1 {} | od -c",
            spaced(second)
        );
        if let Ok(status) = admin::status(&self.nodes[0].data_dir, JOIN_CODE_TIMEOUT) {
            println!("Client link: {}", status.client_link);
        }
        println!("The original's clients: host and port of any node, protocol \"json\" or \"custom\".");
        println!("Logs: {}", self.nodes[0].data_dir.with_file_name("node*").join("node.log").display());
        println!("Type `kill 2`, `restart 2` or `stop 2` and Enter; Ctrl-C stops the cluster.");
        println!();
    }

    fn watch(&mut self) -> Result<()> {
        let mut screen = Screen::new();
        loop {
            let died: Vec<_> = (0..self.nodes.len()).filter(|&i| self.nodes[i].reap()).collect();
            for node in &mut self.nodes {
                node.refresh(STATUS_TIMEOUT);
            }
            for i in died {
                let node = &self.nodes[i];
                let end = node.ended.as_deref().unwrap_or("ended");
                screen.say(&format!(
                    "{} is down ({end}). Type `restart {}`, or start it by hand:\n  {}",
                    node.name,
                    i + 1,
                    node.command_line()
                ));
            }
            screen.show(&self.nodes)?;
            let line = match self.pending.pop_front() {
                Some(line) => line,
                None => match self.input.recv_timeout(REFRESH) {
                    Ok(Input::Line(line)) => line,
                    Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => {
                        self.stopping = true;
                        return Ok(());
                    }
                    Err(RecvTimeoutError::Timeout) => continue,
                },
            };
            screen.scroll();
            if let Some(answer) = self.obey(&line)? {
                screen.say(&answer);
            }
        }
    }

    /// Does what was typed; returns what to say about it.
    fn obey(&mut self, line: &str) -> Result<Option<String>> {
        let mut words = line.split_whitespace();
        let Some(verb) = words.next() else { return Ok(None) };
        let number = words.next().map(|word| word.strip_prefix("node").unwrap_or(word).parse::<usize>());
        let Some(node) = number.and_then(Result::ok).and_then(|number| self.nodes.get_mut(number.checked_sub(1)?))
        else {
            return Ok(Some(format!(
                "which node? `{verb} 1` .. `{verb} {}`; verbs: kill, restart, stop",
                self.nodes.len()
            )));
        };
        match verb {
            "kill" => node.signal(Signal::KILL),
            "stop" => node.signal(Signal::TERM),
            "restart" if node.pid().is_some() => {
                return Ok(Some(format!("{} is running; `kill` or `stop` it first", node.name)));
            }
            // Nobody waits for it here: the table shows how it comes up.
            "restart" => drop(node.start(None)?),
            _ => return Ok(Some(format!("`{verb}` is unknown; there are kill, restart, stop"))),
        }
        Ok(None)
    }

    fn stop(&mut self) {
        let running = |nodes: &[Node]| nodes.iter().filter(|node| node.pid().is_some()).count();
        if running(&self.nodes) == 0 {
            return;
        }
        println!("\nstopping ...");
        for node in &self.nodes {
            node.signal(Signal::TERM);
            // A frozen process gets the other signal only when it runs again.
            node.signal(Signal::CONT);
        }
        let deadline = now() + STOP_TIMEOUT;
        while running(&self.nodes) > 0 && now() < deadline {
            thread::sleep(Duration::from_millis(10));
            for node in &mut self.nodes {
                node.reap();
            }
        }
        for node in &mut self.nodes {
            if node.pid().is_some() {
                println!("{} did not stop within {STOP_TIMEOUT:?} and was killed", node.name);
                node.kill();
            }
        }
        println!("stopped");
    }
}

/// Where the table goes: in place on a terminal, else a line per change.
struct Screen {
    terminal: bool,
    /// Rows above the cursor that are the table of last time.
    drawn: usize,
    said: Vec<String>,
}

impl Screen {
    fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), drawn: 0, said: Vec::new() }
    }

    fn say(&mut self, text: &str) {
        self.scroll();
        println!("{text}");
    }

    /// Leaves the table where it is: the next one is drawn below.
    fn scroll(&mut self) {
        if std::mem::take(&mut self.drawn) > 0 {
            println!();
        }
    }

    fn show(&mut self, nodes: &[Node]) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.terminal {
            let width = rustix::termios::tcgetwinsize(&out).map_or(80, |size| usize::from(size.ws_col).max(20));
            let rows = table::rows(nodes, width);
            if self.drawn == rows.len() {
                // The cursor is saved and put back, so that a half-typed line survives.
                write!(out, "\x1b7\x1b[{}A", rows.len())?;
                rows.iter().try_for_each(|row| write!(out, "\r\x1b[2K{row}\x1b[1B"))?;
                write!(out, "\x1b8")?;
            } else {
                rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
                self.drawn = rows.len();
            }
        } else {
            self.said.resize(nodes.len(), String::new());
            for (said, node) in self.said.iter_mut().zip(nodes) {
                let summary = table::summary(node);
                if *said != summary {
                    writeln!(out, "{summary}")?;
                    *said = summary;
                }
            }
        }
        Ok(out.flush()?)
    }
}
