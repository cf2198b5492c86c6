//! The commands that README.md puts in place of the original's: each is read from there and run. Only ports, the address
//! to listen on, and the time a measurement takes are other ones.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tests::cluster::built;
use tests::legacy_client::Client;
use tests::legacy_page::Original;
use tests::wait_for;
use wire::codec::Codec;

/// The table's heading.
const HEADING: &str = "| to | the original | Samira |";

/// What the last column says, by the first: the texts in backticks.
fn row(what: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, table) = readme.split_once(HEADING).unwrap();
    let line = table.lines().find(|line| line.starts_with(&format!("| {what} |")));
    let line = line.unwrap_or_else(|| panic!("README.md has no row {what:?}"));
    let ours = line.trim_end_matches('|').rsplit('|').next().unwrap();
    ours.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

fn rows() -> usize {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, table) = readme.split_once(HEADING).unwrap();
    table.lines().skip(2).take_while(|line| line.starts_with('|')).count()
}

/// Stands for what the README takes from the surroundings: port 5555, port 5556, the code.
struct Place {
    dir: tempfile::TempDir,
    ports: [u16; 2],
    code: String,
}

impl Place {
    fn new() -> Self {
        let port = || {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let udp = UdpSocket::bind(tcp.local_addr().unwrap());
            udp.unwrap().local_addr().unwrap().port()
        };
        Self { dir: tempfile::tempdir().unwrap(), ports: [port(), port()], code: String::new() }
    }

    fn address(&self, place: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[place]).into()
    }

    fn here(&self, text: &str) -> String {
        let ports = text.replace("5555", &self.ports[0].to_string()).replace("5556", &self.ports[1].to_string());
        ports.replace("0.0.0.0", "127.0.0.1").replace("CODE", &self.code)
    }

    /// A line of the README as a command.
    fn command(&self, line: &str) -> Command {
        let line = self.here(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, rest) = match &words[..] {
            ["node", rest @ ..] => ("node", rest),
            ["cargo", "xtask", rest @ ..] => ("xtask", rest),
            _ => panic!("not one of our commands: {line}"),
        };
        let mut command = tests::cluster::program(program);
        command.args(rest).current_dir(self.dir.path()).stderr(Stdio::null());
        command
    }

    /// Starts a server and waits until its start-up text says how to go on.
    fn serve(&mut self, line: &str) -> Server {
        let mut child = self.command(line).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let server = Server(child);
        loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended instead of serving");
            if let Some((_, code)) = line.split_once("--join-code ") {
                self.code = code.trim().to_owned();
            }
            if line.starts_with("The code lets") {
                std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
                return server;
            }
        }
    }
}

struct Server(Child);

impl Server {
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(wait_for("a server to stop", || self.0.try_wait().unwrap()).success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_server_command_of_the_readme_works() {
    let mut place = Place::new();
    let first = place.serve(&row("start the first server")[0]);
    let second = place.serve(&row("add a replica")[0]);

    let status = row("show addresses");
    let shown = place.command(&status[0]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for port in place.ports {
        assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
    }

    // The original's client finds host and port in its own file, and speaks either protocol.
    let file = row("start the client");
    let value = |key: &str| {
        let line =
            file.iter().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {file:?}"));
        place.here(line.trim())
    };
    let address: SocketAddr = format!("{}:{}", value("host:"), value("port:")).parse().unwrap();
    assert_eq!(address, place.address(0));
    for codec in Codec::LEGACY {
        for (name, address) in [("one", address), ("two", place.address(1))] {
            let name = format!("{name}-{codec:?}");
            Client::connect(address, codec).unwrap().signup(&name).unwrap();
            Original::login(address, codec, &name).unwrap();
        }
    }
    // Two servers need each other, also to stop in order: the one that leads goes last.
    second.stop();
    first.stop();
}

#[test]
fn every_developer_command_of_the_readme_works() {
    let place = Place::new();
    // This test runs inside of that command.
    let test = row("test");
    let help = place.command(&test[0]).arg("--help").output().unwrap();
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--quick"));

    // As `cargo xtask bench` does once the optimised program is built.
    let bench = row("benchmark");
    let arguments: Vec<&str> = bench[0].strip_prefix("cargo xtask bench ").unwrap().split(' ').collect();
    let mut command = Command::new(built("bench"));
    let output = command.args(arguments).current_dir(place.dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("medium_messages_response"));

    let mut command = Command::new(built("bench"));
    command.args(["cluster", "--nodes", "1", "--seconds", "1", "--warm", "0", "--trials", "0"]);
    command.args(["--protocol", "samira2", "--connections", "0", "--in-flight", "1"]);
    let output = command.current_dir(place.dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}

#[test]
fn no_row_goes_untested() {
    let tested = ["start the first server", "add a replica", "start the client", "test", "benchmark", "show addresses"];
    assert_eq!(rows(), tested.len());
    assert!(tested.iter().all(|what| !row(what).is_empty()));
}
