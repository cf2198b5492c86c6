//! A node that cannot start says why and what to do, with an exit code: never a panic, never a half-started server.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use tempfile::TempDir;
use tests::cluster::{Cluster, bare_command, run_to_end};
use tests::legacy_client::Client;
use wire::codec::Codec;

/// Wrong arguments or configuration.
const USAGE: i32 = 2;

/// It could not be done.
const FAILED: i32 = 1;

/// What is not as it should be, over all rows of a table. Told at its end.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    /// Runs a command, and holds its end against what an operator should see: the exit code, and all words in its last
    /// words.
    fn refused(&mut self, what: &str, command: &mut Command, code: i32, words: &[&str]) {
        let output = run_to_end(command);
        let said = String::from_utf8_lossy(&output.stderr);
        // Logs may stand before it; clap adds usage behind it.
        let last = said.find("node: ").or_else(|| said.find("error: ")).map_or("", |at| &said[at..]);
        let mut wrong = |this: String| self.0.push(format!("{what}: {this}: {said}"));
        if said.contains("panicked at") {
            wrong("a panic".into());
        }
        if output.status.code() != Some(code) {
            wrong(format!("{} instead of {code}", output.status));
        }
        for word in words.iter().filter(|word| !last.contains(**word)) {
            wrong(format!("no {word:?}"));
        }
        if String::from_utf8_lossy(&output.stdout).contains("ready ") {
            wrong("it said that it is ready".into());
        }
    }

    fn check(self) {
        assert!(self.0.is_empty(), "{} wrong:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// A start on its own directory, and on a port of the system's choice.
fn start_on(dir: &Path) -> Command {
    let mut command = bare_command();
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir);
    command
}

#[test]
fn every_wrong_flag_and_variable_is_named() {
    let mut wrong = Wrong::default();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let long = "x".repeat(65);
    let far = format!("{}:1", "x".repeat(300));
    let cases: &[(&str, &str, &[&str])] = &[
        ("listen", "5555", &["ADDR:PORT"]),
        ("listen", "127.0.0.1:99999", &["ADDR:PORT"]),
        ("listen", "", &["ADDR:PORT"]),
        ("listen", "\u{1b}[31m:1", &["ADDR:PORT"]),
        ("advertise", "host", &["HOST:PORT"]),
        ("advertise", "host:0", &["HOST:PORT"]),
        ("advertise", &far, &["HOST:PORT"]),
        ("peers", "a:1,:2", &["HOST:PORT", "\":2\""]),
        ("peers", "", &["HOST:PORT"]),
        ("name", "a b", &["letters, digits"]),
        ("name", "", &["letters, digits"]),
        ("name", &long, &["1 to 64"]),
        ("cluster-name", "../x", &["letters, digits"]),
        ("join-code", "x", &["join-code"]),
        ("plaintext", "maybe", &["loopback", "any", "off"]),
        ("signup", "maybe", &["open", "closed"]),
        ("max-clients", "0", &["at least 1"]),
        ("max-clients", "many", &["many"]),
        ("max-clients", "99999999999999999999", &["99999999999999999999"]),
        ("log", "xml", &["pretty", "json"]),
    ];
    for (flag, value, words) in cases {
        let base = || {
            let mut command = bare_command();
            if *flag != "listen" {
                command.args(["--listen", "127.0.0.1:0"]);
            }
            command.arg("--data-dir").arg(&data);
            command
        };
        let long_flag = format!("--{flag}");
        let words: Vec<&str> = words.iter().copied().chain([&long_flag[..]]).collect();
        wrong.refused(&format!("{long_flag} {value:?}"), base().arg(format!("{long_flag}={value}")), USAGE, &words);
        let variable = format!("SAMIRA_{}", flag.to_uppercase().replace('-', "_"));
        wrong.refused(&format!("{variable}={value:?}"), base().env(&variable, value), USAGE, &words);
        let mut check = bare_command();
        wrong.refused(&format!("check {long_flag}"), check.arg("check").env(&variable, value), USAGE, &words);
    }
    wrong.refused("an unknown flag", bare_command().arg("--lissten"), USAGE, &["--lissten", "--listen"]);
    wrong.refused("an unknown command", bare_command().arg("statsu"), USAGE, &["statsu", "status"]);
    assert!(!data.exists(), "nothing was touched");
    wrong.check();
}

#[test]
fn a_wrong_configuration_file_is_named_with_the_place() {
    let mut wrong = Wrong::default();
    let dir = tempfile::tempdir().unwrap();
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("an unknown key", b"name = 'a'\nlissten = 'x'\n", &["lissten", "line 2", "listen"]),
        ("a key of a table", b"[server]\nname = 'a'\n", &["server"]),
        ("no TOML", b"listen: 0.0.0.0:5555\n", &["line 1"]),
        ("a wrong type", b"max_clients = 'many'\n", &["max_clients"]),
        ("a negative number", b"max_clients = -1\n", &["max_clients"]),
        ("a wrong word", b"plaintext = 'maybe'\n", &["loopback"]),
        ("a wrong address", b"listen = '5555'\n", &["ADDR:PORT"]),
        ("not UTF-8", b"name = '\xff'\n", &["UTF-8"]),
        ("a join code, which does not belong there", b"join_code = 'x'\n", &["join_code"]),
        ("a secret in the wrong place", b"peers = [1]\n", &["peers"]),
    ];
    for (what, content, words) in cases {
        let file = dir.path().join("node.toml");
        fs::write(&file, content).unwrap();
        let name = file.to_str().unwrap();
        // The file, or for a value that is read well and makes no sense, its flag.
        let words: Vec<&str> = words.to_vec();
        wrong.refused(what, bare_command().arg("--config").arg(&file), USAGE, &words);
        wrong.refused(what, bare_command().args(["check", "--config"]).arg(&file), USAGE, &words);
        if *what != "a wrong address" {
            wrong.refused(what, bare_command().env("SAMIRA_CONFIG", &file), USAGE, &[name]);
        }
    }
    for (what, path) in [("a missing file", dir.path().join("missing")), ("a directory", dir.path().to_owned())] {
        let name = path.to_str().unwrap().to_owned();
        wrong.refused(what, bare_command().arg("--config").arg(&path), USAGE, &[&name, "--config"]);
    }
    wrong.check();
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let mut wrong = Wrong::default();
    let dir = tempfile::tempdir().unwrap();
    // An address that no other test uses: the same port of the other protocol may be taken elsewhere on this machine.
    let tcp = TcpListener::bind("127.77.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.77.0.1:0").unwrap();
    let cases: [(&str, SocketAddr); 2] = [("TCP", tcp.local_addr().unwrap()), ("UDP", udp.local_addr().unwrap())];
    for (protocol, address) in cases {
        let listen = address.to_string();
        let mut command = bare_command();
        command.args(["--listen", &listen, "--data-dir"]).arg(dir.path());
        wrong.refused(protocol, &mut command, FAILED, &[&listen, protocol, "another port with --listen"]);
    }
    let mut command = bare_command();
    command.args(["--listen", "192.0.2.1:5555", "--data-dir"]).arg(dir.path());
    wrong.refused("an address of another machine", &mut command, FAILED, &["192.0.2.1:5555", "ip address"]);
    wrong.check();
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named_with_the_remedy() {
    let mut wrong = Wrong::default();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let lock = dir.path().join("locked");
    fs::create_dir_all(lock.join("lock")).unwrap();
    // Root may write everywhere, but not there.
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/samira"), lock] {
        let name = path.to_str().unwrap();
        wrong.refused(name, &mut start_on(&path), FAILED, &[name, "--data-dir"]);
    }
    // A socket's path has to fit 108 bytes.
    let deep = dir.path().join("x".repeat(60)).join("y".repeat(60));
    wrong.refused("a long path", &mut start_on(&deep), FAILED, &["admin.sock", "--data-dir"]);
    for command in ["status", "join-code"] {
        let mut ask = bare_command();
        ask.args([command, "--data-dir"]).arg(dir.path());
        wrong.refused(command, &mut ask, FAILED, &["no node is running", "--data-dir"]);
    }
    wrong.check();
}

#[test]
fn a_data_directory_serves_one_node() {
    let mut wrong = Wrong::default();
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    wrong.refused("a second node", &mut start_on(&node.dir), FAILED, &["in use", "--data-dir"]);
    assert!(node.status().is_some(), "the first one noticed nothing");
    wrong.check();
}

/// A node that has served, and damaged copies of what it left.
struct Served {
    dir: TempDir,
    original: PathBuf,
    copies: u32,
    wrong: Wrong,
}

impl Served {
    fn new() -> Self {
        let mut cluster = Cluster::empty();
        let node = cluster.add_node();
        let mut client = Client::connect(node.address(), Codec::Json).unwrap();
        for name in ["alice", "bob"] {
            client.signup(name).unwrap();
        }
        client.login("alice").unwrap();
        let chat = client.start_chat("alice", "bob").unwrap();
        for number in 0..20 {
            client.send(&chat, "alice", &format!("message {number}")).unwrap();
        }
        node.stop();
        let dir = tempfile::tempdir().unwrap();
        let original = dir.path().join("original");
        copy(&node.dir, &original);
        for database in ["log.db", "state.db"] {
            // Everything into the one file that is damaged.
            let connection = Connection::open(original.join(database)).unwrap();
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        }
        Self { dir, original, copies: 0, wrong: Wrong::default() }
    }

    /// Starts a node on a copy that was changed by `damage`.
    fn refused(&mut self, what: &str, damage: impl FnOnce(&Path), words: &[&str]) {
        self.copies += 1;
        let copied = self.dir.path().join(format!("copy{}", self.copies));
        copy(&self.original, &copied);
        damage(&copied);
        self.wrong.refused(what, &mut start_on(&copied), FAILED, words);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn a_broken_identity_is_named_with_the_remedy() {
    let mut served = Served::new();
    let stranger = Served::new();
    let garbage: &[(&str, &[u8])] =
        &[("empty", b""), ("garbage", b"\xff\xfe\x00garbage"), ("half", b"{\"node\": 12,"), ("another shape", b"[]")];
    for file in ["node.json", "node.key", "node.crt", "ca.crt", "ca.key"] {
        for (what, content) in garbage {
            let what = format!("{file}: {what}");
            served.refused(&what, |dir| fs::write(dir.join(file), content).unwrap(), &[file, "join"]);
        }
    }
    for file in ["node.key", "node.crt", "ca.crt"] {
        served.refused(&format!("{file}: missing"), |dir| fs::remove_file(dir.join(file)).unwrap(), &[file, "join"]);
    }
    for file in ["node.key", "node.crt", "ca.crt", "ca.key"] {
        let exchange = |dir: &Path| {
            fs::copy(stranger.original.join(file), dir.join(file)).unwrap();
        };
        served.refused(&format!("{file}: another node's"), exchange, &[file, "join"]);
    }
    // Founding another cluster in its place would bury this one and overwrite its keys.
    served.refused("node.json: missing", |dir| fs::remove_file(dir.join("node.json")).unwrap(), &["node.json", "join"]);
    served.wrong.check();
}

#[test]
fn a_broken_database_is_named_with_the_remedy() {
    let mut served = Served::new();
    for file in ["log.db", "state.db"] {
        let write = |content: Vec<u8>| move |dir: &Path| fs::write(dir.join(file), content).unwrap();
        let whole = fs::read(served.original.join(file)).unwrap();
        let mut wrong_magic = whole.clone();
        wrong_magic[..16].copy_from_slice(b"SQLite format 4\0");
        let damaged: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("noise", (0..8192u32).map(|n| ((n * 7919) >> 3) as u8).collect()),
            ("text", b"this is not a database\n".repeat(500)),
            ("one byte", whole[..1].to_vec()),
            ("half a header", whole[..50].to_vec()),
            ("one page", whole[..4096].to_vec()),
            ("half", whole[..whole.len() / 2 / 4096 * 4096].to_vec()),
            ("wrong magic", wrong_magic),
        ];
        for (what, content) in damaged {
            served.refused(&format!("{file}: {what}"), write(content), &[file, "join"]);
        }
        let sql = |sql: &'static str| {
            move |dir: &Path| {
                let connection = Connection::open(dir.join(file)).unwrap();
                connection.execute_batch(sql).unwrap();
            }
        };
        let foreign = |dir: &Path| {
            fs::remove_file(dir.join(file)).unwrap();
            Connection::open(dir.join(file)).unwrap().execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
        };
        served.refused(&format!("{file}: another program's"), foreign, &[file, "not a Samira"]);
        let mutations: &[&str] = match file {
            "log.db" => &[
                "UPDATE entry SET crc = 'text'",
                "UPDATE entry SET crc = -1",
                "UPDATE entry SET crc = 4294967296",
                "UPDATE entry SET crc = x'00'",
                "UPDATE entry SET record = 'text'",
                "UPDATE entry SET record = 7",
                "UPDATE entry SET idx = -idx - 1",
                "UPDATE entry SET idx = idx + 1000000000000",
                "DELETE FROM entry WHERE idx = 5",
                "DELETE FROM entry WHERE idx < 3",
                "UPDATE value SET crc = 'text'",
                "UPDATE value SET crc = -1",
                "UPDATE value SET bytes = 'text'",
                "UPDATE value SET bytes = 7",
                "UPDATE value SET key = x'ff' || key WHERE key = 'vote'",
                "ALTER TABLE entry RENAME COLUMN crc TO sum",
                "ALTER TABLE value RENAME COLUMN bytes TO content",
                "DROP TABLE value",
            ],
            _ => &[
                "UPDATE progress SET applied = 'text'",
                "UPDATE progress SET applied = 7",
                "UPDATE progress SET applied = x'ffffff'",
                "UPDATE progress SET membership = 'text'",
                "UPDATE progress SET membership = x'ff'",
                "UPDATE progress SET state_hash = x'00'",
                "UPDATE progress SET state_hash = 7",
                "UPDATE progress SET next_user = 'text'",
                "UPDATE progress SET next_message = 1.5",
                "ALTER TABLE progress RENAME COLUMN next_user TO another",
                "DROP TABLE progress",
                "DROP TABLE removed_nodes",
            ],
        };
        for mutation in mutations {
            served.refused(&format!("{file}: {mutation}"), sql(mutation), &[file, "join"]);
        }
        served.refused(&format!("{file}: newer"), sql("PRAGMA user_version = 99"), &[file, "99", "newer release"]);
        served.refused(&format!("{file}: missing"), |dir| fs::remove_file(dir.join(file)).unwrap(), &[file, "join"]);
        let directory = |dir: &Path| {
            fs::remove_file(dir.join(file)).unwrap();
            fs::create_dir(dir.join(file)).unwrap();
        };
        served.refused(&format!("{file}: a directory"), directory, &[file]);
    }
    let both = |dir: &Path| {
        for file in ["log.db", "state.db"] {
            fs::remove_file(dir.join(file)).unwrap();
        }
    };
    served.refused("both databases missing", both, &["log.db", "join"]);
    served.wrong.check();
    // Behind all of it, the original is still good.
    let mut cluster = Cluster::empty();
    let node = cluster.new_node("n1");
    copy(&served.original, &node.dir);
    cluster.nodes.push(node);
    let node = &cluster.nodes[0];
    node.start(None);
    let mut client = Client::logged_in(node.address(), Codec::Json, "bob").unwrap();
    assert_eq!(client.chats("bob").unwrap().len(), 1);
}
