//! `chat` as people and scripts use it: over TLS, against a cluster of three, with nothing but its output to go by.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;
use tests::cluster::{Cluster, program, run_to_end};
use tests::device::link;
use tests::{oracle, wait_for};

/// Exit codes that scripts rely on.
const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;
const NOT_LOGGED_IN: i32 = 4;

/// Somebody at a terminal, with a profile of their own.
struct Person {
    name: &'static str,
    profile: PathBuf,
    link: String,
}

/// What one run has come to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// It ended with this code, and said so in words that contain `text`.
    #[track_caller]
    fn failed(self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.contains(text), "`{text}` was expected: {}", self.err);
    }

    /// Its lines, each an object.
    #[track_caller]
    fn json(self) -> Vec<Value> {
        self.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Person {
    fn new(profiles: &TempDir, name: &'static str, link: &str) -> Self {
        Self { name, profile: profiles.path().join(name), link: link.to_owned() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program("chat");
        command.env("SAMIRA_PASSWORD", format!("the password of {}", self.name));
        command.env("SAMIRA_DATA_DIR", &self.profile).env("SAMIRA_CONNECT", &self.link);
        command.args(words);
        command
    }

    fn chat(&self, words: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = run_to_end(&mut self.command(words));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().expect("it ends by itself"), out: text(stdout), err: text(stderr) }
    }
}

/// A `chat tail` that is being read.
struct Tail {
    process: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(person: &Person, words: &[&str]) -> Self {
        let mut process = person.command(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let (found, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| found.send(line))
        });
        Self { process, lines }
    }

    /// Reads on until a message with this text comes.
    fn until(&self, text: &str) -> Value {
        wait_for("a message in the tail", || {
            let line = self.lines.try_recv().ok()?;
            let value: Value = serde_json::from_str(&line).unwrap();
            (value["text"] == text).then_some(value)
        })
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn people_and_scripts_talk_through_it() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let links: Vec<_> = cluster.nodes.iter().map(|node| link(node).to_string()).collect();
    let ann = Person::new(&profiles, "ann", &links[0]);
    let bob = Person::new(&profiles, "bob", &links[1]);

    // Nobody is there yet.
    ann.chat(&["send", "bob", "hello"]).failed(NOT_LOGGED_IN, "log in");
    ann.chat(&["status"]).failed(NOT_LOGGED_IN, "chat signup");
    ann.chat(&["login", "ann"]).failed(REFUSED, "");
    let welcome = ann.chat(&["signup", "ann", "--nickname", "Ann of the North"]).done();
    assert!(welcome.contains("logged in as ann") && welcome.contains("(encrypted)"), "{welcome}");
    Person { name: "ann", profile: profiles.path().join("second"), link: links[2].clone() }
        .chat(&["signup", "ann"])
        .failed(REFUSED, "");
    bob.chat(&["signup", "bob"]).done();
    ann.chat(&["send", "nobody", "hello"]).failed(REFUSED, "nobody");
    ann.chat(&["limit", "0"]).failed(USAGE, "limit");
    ann.chat(&["history", "bob"]).failed(REFUSED, "no conversation");

    // One sends, the other one's tail shows it and thereby marks it as read.
    let tail = Tail::start(&bob, &["tail", "--json"]);
    let stored = ann.chat(&["send", "bob", "hello,", "bob", "--json"]).json();
    assert_eq!((stored[0]["type"].as_str(), stored[0]["number"].as_u64()), (Some("stored"), Some(1)));
    let shown = tail.until("hello, bob");
    assert_eq!((shown["sender"].as_str(), shown["own"].as_bool()), (Some("ann"), Some(false)), "{shown}");
    let delivery = |person: &Person, who: &str| {
        let lines = person.chat(&["history", who, "--json"]).json();
        let last = lines.last().unwrap();
        (last["text"].as_str().unwrap().to_owned(), last["delivery"].as_str().map(str::to_owned))
    };
    wait_for("the mark of who reads the tail", || {
        (delivery(&ann, "bob") == ("hello, bob".into(), Some("read".into()))).then_some(())
    });
    // A profile is for one process at a time.
    bob.chat(&["status"]).failed(REFUSED, "another program uses this profile");
    drop(tail);

    // Unread until it is read.
    ann.chat(&["send", "bob", "second"]).done();
    let listed = bob.chat(&["conversations", "--json"]).json();
    assert_eq!((listed.len(), listed[0]["unread"].as_u64()), (1, Some(1)), "{listed:?}");
    assert_eq!((&listed[0]["newest"]["text"], &listed[0]["title"]), (&"second".into(), &"Ann of the North".into()));
    assert_eq!(delivery(&ann, "bob"), ("second".into(), Some("delivered".into())));
    bob.chat(&["read", "ann"]).done();
    assert_eq!(bob.chat(&["conversations", "--json"]).json()[0]["unread"], 0);
    assert_eq!(delivery(&ann, "bob"), ("second".into(), Some("read".into())));

    // People, names, deletions.
    bob.chat(&["nickname", "Bobby"]).done();
    let people = ann.chat(&["users", "b*", "--json"]).json();
    assert_eq!((people.len(), &people[0]["nickname"]), (1, &"Bobby".into()), "{people:?}");
    bob.chat(&["delete", "ann", "1"]).failed(REFUSED, "");
    ann.chat(&["delete", "bob", "1"]).done();
    let left = bob.chat(&["history", "ann", "--json"]).json();
    assert_eq!((left.len(), left[0]["number"].as_u64()), (1, Some(2)), "{left:?}");
    bob.chat(&["logout"]).done();
    bob.chat(&["conversations"]).failed(NOT_LOGGED_IN, "chat login");
    bob.chat(&["login", "bob"]).done();
    assert_eq!(bob.chat(&["history", "ann", "--json"]).json(), left);
    cluster.stop();
}

#[test]
fn another_pin_is_not_spoken_to() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(1);
    let link = link(&cluster.nodes[0]).to_string();
    let (address, pin) = link.split_once('#').unwrap();
    let first = if pin.starts_with('a') { "b" } else { "a" };
    let wrong = format!("{address}#{first}{}", &pin[1..]);
    let ann = Person::new(&profiles, "ann", &wrong);
    ann.chat(&["--timeout", "2s", "signup", "ann"]).failed(UNREACHABLE, "does not belong to the cluster");
    // Whoever pasted it wrong tries again with the same profile.
    Person { link, ..ann }.chat(&["signup", "ann"]).done();
    cluster.stop();
}

#[test]
fn an_outage_logs_nobody_out() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let links: Vec<_> = cluster.nodes.iter().map(|node| link(node).to_string()).collect();
    let ann = Person::new(&profiles, "ann", &links[0]);
    ann.chat(&["signup", "ann"]).done();
    ann.chat(&["send", "ann", "before"]).done();
    // Two of three are gone: the third lets ann read, and its word costs her nothing.
    cluster.kill_together(&[1, 2]);
    let there = ann.chat(&["status"]).done();
    assert!(there.contains("no majority"), "{there}");
    ann.chat(&["send", "ann", "now", "--timeout", "2s"]).failed(UNREACHABLE, "too few servers reach each other");
    let second = Person { profile: profiles.path().join("second"), link: links[0].clone(), ..ann };
    let welcome = second.chat(&["login", "ann"]).done();
    let reading_only = "no majority answers: reading only, and not remembered: log in again once it does";
    assert!(welcome.contains("logged in as ann") && welcome.contains(reading_only), "{welcome}");
    let texts =
        |ran: Ran| -> Vec<String> { ran.json().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect() };
    assert_eq!(texts(ann.chat(&["history", "ann", "--json"])), ["before"]);
    cluster.start_together(&[1, 2]);
    cluster.wait_voters(3);
    ann.chat(&["send", "ann", "after"]).done();

    // A server that was away knows only tokens of then.
    cluster.nodes[2].kill();
    for _ in 0..3 {
        ann.chat(&["status"]).done();
    }
    cluster.kill_together(&[0, 1]);
    cluster.start_together(&[2]);
    let lagging = Person { link: links[2].clone(), ..Person::new(&profiles, "ann", &links[2]) };
    let told = lagging.chat(&["status", "--timeout", "3s"]);
    assert_eq!(told.code, UNREACHABLE, "{}{}", told.out, told.err);
    assert!(told.err.contains("without a majority"), "{}", told.err);
    assert_eq!(texts(lagging.chat(&["history", "ann", "--json", "--timeout", "1s"])), ["before", "after"]);
    cluster.start_together(&[0, 1]);
    cluster.wait_voters(3);
    ann.chat(&["send", "ann", "again"]).done();
    assert_eq!(texts(ann.chat(&["history", "ann", "--json"])), ["before", "after", "again"]);
    cluster.stop();
}

#[test]
fn what_is_queued_while_nobody_is_there_is_sent_once() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let link = link(&cluster.nodes[0]).to_string();
    let (ann, bob) = (Person::new(&profiles, "ann", &link), Person::new(&profiles, "bob", &link));
    ann.chat(&["signup", "ann"]).done();
    bob.chat(&["signup", "bob"]).done();
    ann.chat(&["send", "bob", "while all is well"]).done();
    // What is stored comes back to its outbox, also where it was told before anybody asked.
    wait_for("the message to come back", || (ann.chat(&["status", "--json"]).json()[0]["outbox"] == 0).then_some(()));
    cluster.kill_together(&[0, 1, 2]);

    assert_eq!(ann.chat(&["send", "bob", "kept for later", "--queue"]).done().trim(), "queued");
    ann.chat(&["send", "bob", "taken back", "--timeout", "1s"]).failed(UNREACHABLE, "not sent");
    let status = ann.chat(&["status", "--json", "--timeout", "1s"]);
    assert_eq!(status.code, UNREACHABLE, "{}", status.err);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((status["outbox"].as_u64(), status["username"].as_str()), (Some(1), Some("ann")), "{status}");
    // What is here is shown without anybody's help.
    let waits = ann.chat(&["outbox", "--json"]).json();
    assert_eq!((&waits[0]["text"], &waits[0]["state"]), (&"kept for later".into(), &"queued".into()), "{waits:?}");
    let here = ann.chat(&["history", "bob", "--json", "--timeout", "1s"]).json();
    assert_eq!(here.last().unwrap()["text"], "while all is well");

    cluster.start_together(&[0, 1, 2]);
    cluster.wait_voters(3);
    wait_for("the outbox to empty", || {
        let status = ann.chat(&["status", "--json"]).json();
        (status[0]["outbox"] == 0).then_some(())
    });
    let texts = |person: &Person, who: &str| -> Vec<String> {
        let lines = person.chat(&["history", who, "--json"]).json();
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&bob, "ann"), ["while all is well", "kept for later"]);
    assert_eq!(texts(&ann, "bob"), ["while all is well", "kept for later"]);
    cluster.settle();
    // What is refused later is said, and forgotten when that is wanted.
    ann.chat(&["send", "nobody", "for whom?", "--queue"]).done();
    let refused = wait_for("the refusal", || {
        ann.chat(&["status"]).done();
        ann.chat(&["outbox", "--json"]).json().into_iter().find(|line| line["state"] == "refused")
    });
    assert!(refused["why"].as_str().unwrap().contains("nobody") && refused["text"] == "for whom?", "{refused}");
    ann.chat(&["outbox", "discard", &refused["outgoing"].to_string()]).done();
    assert!(ann.chat(&["outbox"]).done().is_empty());
    cluster.stop();
    for node in &cluster.nodes {
        let held: Vec<_> = oracle::messages(&node.dir).into_iter().map(|message| message.text).collect();
        assert_eq!(held, ["while all is well", "kept for later"], "{}", node.name);
    }
}

/// Whoever follows a profile all day need not stop for one message from a script.
#[test]
fn a_message_goes_through_the_tail_that_has_the_profile() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(1);
    let link = link(&cluster.nodes[0]).to_string();
    let (ann, bob) = (Person::new(&profiles, "ann", &link), Person::new(&profiles, "bob", &link));
    ann.chat(&["signup", "ann"]).done();
    bob.chat(&["signup", "bob"]).done();
    bob.chat(&["send", "ann", "are you there?"]).done();
    let tail = Tail::start(&ann, &["tail", "--json"]);
    tail.until("are you there?");

    let stored = ann.chat(&["send", "bob", "yes, and I stay", "--json"]).json();
    assert_eq!((stored[0]["type"].as_str(), stored[0]["number"].as_u64()), (Some("stored"), Some(2)));
    assert_eq!(tail.until("yes, and I stay")["own"], true);
    let conversation = format!("#{}", stored[0]["conversation"]);
    assert_eq!(ann.chat(&["send", &conversation, "by number"]).done(), "✓ #3\n");
    assert_eq!(ann.chat(&["send", "bob", "--queue", "in the queue"]).done(), "queued\n");
    tail.until("in the queue");
    ann.chat(&["send", "nobody", "x"]).failed(REFUSED, "nobody");
    ann.chat(&["send", "#nobody", "x"]).failed(USAGE, "number");
    cluster.nodes[0].stop();
    // The outbox is the other program's, which does not take it back.
    ann.chat(&["send", "bob", "later", "--timeout", "500ms"]).failed(UNREACHABLE, "stays in the outbox");
    cluster.nodes[0].start(None);
    tail.until("later");
    drop(tail);
    let lines = bob.chat(&["history", "ann", "--json"]).json();
    let texts: Vec<_> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["are you there?", "yes, and I stay", "by number", "in the queue", "later"]);
}

/// A program that takes no messages keeps a sender waiting until it ends.
#[test]
fn a_sender_waits_a_moment_for_the_profile() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(1);
    let link = link(&cluster.nodes[0]);
    let ann = Person::new(&profiles, "ann", &link.to_string());
    ann.chat(&["signup", "ann"]).done();
    let holder = tests::device::Device::start(&ann.profile, link);
    ann.chat(&["send", "ann", "a note", "--timeout", "300ms"]).failed(REFUSED, "another program uses this profile");
    let mut sender = ann.command(&["send", "ann", "a note", "--timeout", "60s"]);
    let mut sender = sender.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(sender.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("waiting for it"), "{said}");
    drop(holder);
    assert!(sender.wait().unwrap().success());
}

/// What a device was shown belongs to whoever holds it, also when the servers do not let it in any more.
#[test]
fn history_is_readable_when_nobody_is_logged_in() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(1);
    let link = link(&cluster.nodes[0]).to_string();
    let ann = Person::new(&profiles, "ann", &link);
    ann.chat(&["signup", "ann"]).done();
    ann.chat(&["send", "ann", "a note to keep"]).done();
    ann.chat(&["history", "ann"]).done();
    let elsewhere = Person { name: "ann", profile: profiles.path().join("elsewhere"), link };
    elsewhere.chat(&["login", "ann"]).done();
    let devices = elsewhere.chat(&["devices", "--json"]).json();
    let other = devices.iter().find(|device| device["own"] == false).unwrap()["device"].to_string();
    elsewhere.chat(&["devices", "revoke", &other]).done();
    ann.chat(&["status"]).failed(NOT_LOGGED_IN, "");
    for stop in [false, true] {
        if stop {
            cluster.nodes[0].stop();
        }
        let read = ann.chat(&["history", "ann"]);
        assert!(read.err.contains("this is what was here"), "{}", read.err);
        assert!(read.done().contains("a note to keep"));
        assert!(ann.chat(&["conversations"]).done().contains("Notes"));
    }
}
