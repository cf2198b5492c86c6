//! Two devices of one person, whatever happens to them and to the nodes, come to show the same. And a device that was
//! away for long gets exactly what it missed.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::thread;

use client_fltk::command::{Answer, Command, Failure, Ticket};
use client_fltk::model::aside::ASIDE;
use client_fltk::model::{Conversation, Delta, Model, Target};
use client_fltk::store::Store;
use tests::chaos::rng::Rng;
use tests::chat_client;
use tests::cluster::Cluster;
use tests::device::{Device, link};
use tests::{now, wait_until};
use wire::chat::request::Send;
use wire::chat::{Reply, Request};
use wire::codec::Codec;

/// Operations of the random run, unless `SAMIRA_TEST_OPERATIONS` says otherwise.
const OPERATIONS: usize = 1_500;

/// What the random run begins with, unless `SAMIRA_TEST_SEED` says otherwise.
const SEED: u64 = 7844;

/// One in so many operations ends a device's process and starts it again.
const OPERATIONS_PER_CUT: usize = 60;

/// One in so many kills a node, or starts the one that was killed.
const OPERATIONS_PER_KILL: usize = 120;

/// Commands of one device that are not answered yet, beyond which it waits.
const OPEN_MAX: usize = 8;

/// Messages that the long absence misses.
const MISSED: usize = 10_001;

/// How many of them one request hands over.
const VIEW_LIMIT: u64 = 500;

/// Requests that the fast sender has open.
const PIPELINE: usize = 200;

const PEOPLE: [&str; 3] = ["ann", "bob", "cyd"];

/// People's devices: the first two are one person's.
struct Run {
    cluster: Cluster,
    devices: Vec<(&'static str, Device)>,
    /// By device: commands that have to succeed.
    required: Vec<Vec<Ticket>>,
    rng: Rng,
    down: Option<usize>,
    texts: usize,
    cuts: usize,
    kills: usize,
}

impl Run {
    fn start(seed: u64, profiles: &Path) -> Self {
        let cluster = Cluster::start(3);
        let devices = ["ann", "ann", "bob", "cyd"].into_iter().enumerate().map(|(at, name)| {
            let link = link(&cluster.nodes[at % cluster.nodes.len()]);
            let mut device = Device::start(&profiles.join(at.to_string()), link);
            if at == 1 {
                device.log_in(name);
            } else {
                device.sign_up(name);
            }
            (name, device)
        });
        let devices: Vec<_> = devices.collect();
        let required = vec![Vec::new(); devices.len()];
        Self { cluster, devices, required, rng: Rng::new(seed), down: None, texts: 0, cuts: 0, kills: 0 }
    }

    /// A conversation that the device knows.
    fn conversation(&mut self, at: usize) -> Option<u64> {
        let known: Vec<_> = self.devices[at].1.model.conversations.keys().copied().collect();
        (!known.is_empty()).then(|| known[self.rng.below(known.len())])
    }

    /// A number up to `max`, more often a high one, as people look at the end.
    fn number(&mut self, max: u64) -> u64 {
        let max = usize::try_from(max).unwrap();
        let (one, other) = (self.rng.below(max + 1), self.rng.below(max + 1));
        one.max(other) as u64
    }

    /// What the device is to do next, and whether it has to succeed whoever is down.
    fn choose(&mut self, at: usize) -> Option<(Command, bool)> {
        let kind = self.rng.below(100);
        let name = self.devices[at].0;
        if kind < 50 {
            self.texts += 1;
            let others: Vec<_> = PEOPLE.into_iter().filter(|&other| other != name).collect();
            let peer = others[self.rng.below(others.len())];
            let to = match self.devices[at].1.model.direct(peer) {
                Some(found) if self.rng.one_in(2) => Target::Conversation(found.id),
                _ => Target::Username(peer.into()),
            };
            return Some((Command::Send { to, text: format!("text {}", self.texts).into() }, true));
        }
        if kind < 53 {
            self.texts += 1;
            return Some((Command::Nickname(format!("{name} {}", self.texts)), true));
        }
        if kind < 56 {
            return Some((Command::ViewLimit(1 + self.rng.below(20) as u64), true));
        }
        let conversation = self.conversation(at)?;
        let model = &self.devices[at].1.model;
        let (me, found) = (model.me(), &model.conversations[&conversation]);
        let (readable, last) = (found.readable(), found.last_number);
        Some(match kind {
            56..64 => {
                let own: Vec<_> = found.messages.values().filter(|one| one.sender == me && !one.deleted).collect();
                let numbers: Vec<_> = own.iter().map(|message| message.number).collect();
                if numbers.is_empty() {
                    return None;
                }
                let number = numbers[self.rng.below(numbers.len())];
                (Command::Delete { conversation, numbers: vec![number] }, true)
            }
            64..78 => (Command::MarkRead { conversation, upto: self.number(readable) }, true),
            78..80 => (Command::Clear { conversation, upto: self.number(readable) }, true),
            80..92 => (Command::Next { conversation }, false),
            _ => {
                let limit = 1 + self.rng.below(30) as u64;
                (Command::History { conversation, before: self.number(last), limit }, false)
            }
        })
    }

    /// Looks at what was answered.
    fn check_answers(&mut self, at: usize) {
        let (name, device) = &mut self.devices[at];
        let answers: Vec<_> = device.answers().collect();
        for (ticket, outcome) in answers {
            let required = self.required[at].contains(&ticket);
            self.required[at].retain(|&other| other != ticket);
            match outcome {
                Ok(_) => {}
                Err(Failure::Offline(_)) if !required => {}
                Err(failure) => panic!("{name}, device {at}: {failure:?}"),
            }
        }
    }

    fn step(&mut self) {
        if self.rng.one_in(OPERATIONS_PER_CUT) {
            let at = self.rng.below(self.devices.len());
            self.check_answers(at);
            self.required[at].clear();
            self.devices[at].1.cut();
            self.devices[at].1.resume();
            self.cuts += 1;
            return;
        }
        if self.rng.one_in(OPERATIONS_PER_KILL) {
            match self.down.take() {
                Some(node) => self.start_node(node),
                None => {
                    // The node that one of the devices is connected to.
                    let at = self.rng.below(self.devices.len());
                    let address = &self.devices[at].1.model.link.address;
                    let node = self.cluster.nodes.iter().position(|node| node.address().to_string() == *address);
                    // One that has just been started again is not connected yet.
                    let node = node.unwrap_or_else(|| self.rng.below(self.cluster.nodes.len()));
                    self.cluster.nodes[node].kill();
                    self.down = Some(node);
                    self.kills += 1;
                }
            }
            return;
        }
        let at = self.rng.below(self.devices.len());
        self.devices[at].1.take();
        if let Some((command, required)) = self.choose(at) {
            let ticket = self.devices[at].1.send(command);
            if required {
                self.required[at].push(ticket);
            }
        }
        let what = format!("device {at} to be answered");
        let device = &mut self.devices[at].1;
        wait_until(&what, || device.open() < OPEN_MAX || (device.turn() && device.open() < OPEN_MAX));
        self.check_answers(at);
    }

    fn start_node(&self, node: usize) {
        self.cluster.nodes[node].start(None);
        self.cluster.wait_voters(3);
    }

    /// Everybody has written everything and holds everything.
    fn settle(&mut self) {
        if let Some(node) = self.down.take() {
            self.start_node(node);
        }
        for (_, device) in &mut self.devices {
            device.wait_written();
        }
        for (_, device) in &mut self.devices {
            device.catch_up();
        }
        // What was handed over above is told to the others as delivered.
        for (_, device) in &mut self.devices {
            device.wait_written();
        }
        self.cluster.settle();
    }
}

fn two_devices(seed: u64, operations: usize) {
    let began = now();
    let profiles = tempfile::tempdir().unwrap();
    let mut run = Run::start(seed, profiles.path());
    for _ in 0..operations {
        run.step();
    }
    run.settle();
    let [(_, one), (_, other), ..] = &mut run.devices[..] else { unreachable!("there are four") };
    // A person who has read something elsewhere is not handed it once more; it is there to be looked at.
    one.read_back(false);
    other.read_back(false);
    one.wait_seen_through();
    other.wait_seen_through();
    // Not the same cursor: one that has asked last also counts changes between others, which nobody pushed to it.
    wait_until("both devices to show the same", || {
        one.take();
        other.take();
        one.model.hash() == other.model.hash()
    });
    let shown: usize = one.model.conversations.values().map(|found| found.messages.len()).sum();
    assert!(shown > 0, "there is something to compare");
    eprintln!(
        "seed {seed}: {operations} operations, {} texts, {} cuts, {} kills, {shown} messages shown, cursor {}, {:?}",
        run.texts,
        run.cuts,
        run.kills,
        one.model.cursor,
        now() - began
    );
    run.cluster.stop();
}

#[test]
fn two_devices_of_one_person_come_to_show_the_same() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let operations = number("SAMIRA_TEST_OPERATIONS").map_or(OPERATIONS, |count| usize::try_from(count).unwrap());
    let seed = number("SAMIRA_TEST_SEED").unwrap_or(SEED);
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("again with SAMIRA_TEST_SEED={}", self.0);
            }
        }
    }
    let _told_on_failure = Seed(seed);
    two_devices(seed, operations);
}

/// Two devices of one person, of which the first was away for more than it is handed at once; and who writes to them.
struct Backlog {
    one: Device,
    other: Device,
    sender: chat_client::Client,
    conversation: u64,
    /// Number of the last message that the first device has missed.
    last: u64,
}

impl Backlog {
    fn start(cluster: &Cluster, profiles: &Path) -> Self {
        let mut one = Device::start(&profiles.join("one"), link(&cluster.nodes[0]));
        one.sign_up("ann");
        one.ask(Command::ViewLimit(1)).unwrap();
        let mut other = Device::start(&profiles.join("other"), link(&cluster.nodes[1]));
        other.log_in("ann");
        let mut sender = chat_client::Client::logged_in(cluster.nodes[2].address(), Codec::Samira2, "bob").unwrap();
        let conversation = sender.open("ann").unwrap();
        let mut backlog = Self { one, other, sender, conversation, last: 0 };
        let first = backlog.say("first");
        let knows = backlog.knows(first);
        backlog.one.wait("the first message", knows);
        backlog.one.cut();
        backlog.last = (0..3).map(|number| backlog.say(&format!("unread {number}"))).last().unwrap();
        let knows = backlog.knows(backlog.last);
        backlog.other.wait("all that was said", knows);
        backlog.one.resume();
        backlog.one.wait_synced();
        assert!(backlog.found().is_behind(), "one message at a time");
        backlog
    }

    fn say(&mut self, text: &str) -> u64 {
        let send = Send { conversation: self.conversation, text, seq: self.sender.take_seq(), ..Send::default() };
        let sent = self.sender.ask(Request::Send(send), |reply| match reply {
            Reply::Sent(sent) => Ok(sent.number),
            other => anyhow::bail!("unexpected: {other:?}"),
        });
        sent.unwrap()
    }

    /// Whether a device was handed everything up to a number.
    fn knows(&self, number: u64) -> impl Fn(&Model) -> bool + use<> {
        let conversation = self.conversation;
        move |model| model.conversations.get(&conversation).is_some_and(|found| found.handed >= number)
    }

    /// The conversation as the first device has it.
    fn found(&self) -> &Conversation {
        &self.one.model.conversations[&self.conversation]
    }
}

#[test]
fn what_was_sent_behind_unread_messages_is_shown_although_they_were_read_elsewhere() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let mut backlog = Backlog::start(&cluster, profiles.path());
    let conversation = backlog.conversation;

    // The node keeps back what comes after unread messages, one's own included.
    let to = Target::Conversation(conversation);
    let answer = backlog.one.ask(Command::Send { to, text: "mine".to_owned().into() }).unwrap();
    let Answer::Stored { number: mine, .. } = answer else { panic!("{answer:?}") };
    let knows = backlog.knows(mine);
    backlog.other.wait("what the first device has sent", knows);
    backlog.other.ask(Command::MarkRead { conversation, upto: mine }).unwrap();
    backlog.other.wait_written();
    let me = backlog.one.model.me();
    backlog.one.wait("what was read elsewhere", |model| model.conversations[&conversation].read_by(me) == mine);
    backlog.one.catch_up();
    backlog.one.wait_seen_through();
    assert_eq!(backlog.found().messages[&mine].text.0, "mine");
    cluster.stop();
}

#[test]
fn what_was_read_elsewhere_keeps_nothing_back() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let mut backlog = Backlog::start(&cluster, profiles.path());
    let (conversation, last) = (backlog.conversation, backlog.last);

    backlog.other.ask(Command::MarkRead { conversation, upto: last }).unwrap();
    backlog.one.wait("nothing to be kept back", |model| !model.conversations[&conversation].is_behind());
    let newest = backlog.found().newest().map(|newest| newest.number);
    assert_eq!((backlog.one.model.unread(conversation), newest), (0, Some(last)));
    // What comes now is pushed, without being asked for.
    let pushed = backlog.say("after that");
    backlog.one.wait("the newest message", |model| model.conversations[&conversation].messages.contains_key(&pushed));
    assert_eq!(backlog.found().newest().map(|newest| newest.number), Some(pushed));
    cluster.stop();
}

/// A device that has seen more than the servers have, as after a restored backup: the change numbers that its profile knows
/// are beyond theirs.
#[test]
fn what_is_held_of_another_history_stays_readable() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let mut device = Device::start(profiles.path(), link(&cluster.nodes[0]));
    device.sign_up("ann");
    let note = Command::Send { to: Target::Username("ann".into()), text: "a note".to_owned().into() };
    let Ok(Answer::Stored { conversation, .. }) = device.ask(note) else { panic!("it is stored") };
    device.wait_seen_through();
    device.cut();
    let ahead = Delta::Cursor { cursor: device.model.cursor + 1_000, synced: false };
    let (mut store, mut model) = Store::open(&profiles.path().join("profile.db")).unwrap();
    model.apply(&ahead);
    store.commit(&[ahead], &model).unwrap();
    drop(store);
    device.resume();
    device.wait_synced();
    let kept = &device.model.conversations[&(conversation | ASIDE)];
    assert_eq!(kept.messages.values().map(|message| &*message.text).collect::<Vec<_>>(), ["a note"]);
    assert!(device.model.conversations.contains_key(&conversation), "and what the servers have is told");
    cluster.stop();
}

#[test]
fn who_only_reads_is_told_that_no_majority_answers() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let mut device = Device::start(profiles.path(), link(&cluster.nodes[0]));
    device.sign_up("ann");
    device.wait_synced();
    let reading =
        cluster.nodes.iter().position(|node| node.address().to_string() == device.model.link.address).unwrap();
    let others: Vec<_> = (0..3).filter(|&place| place != reading).collect();
    cluster.kill_together(&others);
    device.wait("to be told", |model| model.link.stale);
    cluster.start_together(&others);
    device.wait("to be told that it is over", |model| !model.link.stale);
    cluster.stop();
}

#[test]
fn a_device_that_was_away_for_ten_thousand_messages_gets_each_of_them_once() {
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let mut device = Device::start(profiles.path(), link(&cluster.nodes[1]));
    device.sign_up("bob");
    device.ask(Command::ViewLimit(VIEW_LIMIT)).unwrap();
    let mut sender = chat_client::Client::logged_in(cluster.nodes[0].address(), Codec::Samira2, "ann").unwrap();
    let conversation = sender.open("bob").unwrap();
    let mut number = 0;
    let mut write = |count: usize| {
        let mut left = count;
        while left > 0 {
            // All but the last of a batch are sent without waiting; its number tells what came of the others.
            let batch = left.min(PIPELINE);
            left -= batch;
            for at in 1..=batch {
                number += 1;
                let text = format!("text {number}");
                let send = Send { conversation, text: &text, seq: sender.take_seq(), ..Send::default() };
                if at < batch {
                    sender.send(Request::Send(send)).unwrap();
                    continue;
                }
                let stored = sender.ask(Request::Send(send), |reply| match reply {
                    Reply::Sent(sent) => Ok(sent.number),
                    other => anyhow::bail!("unexpected: {other:?}"),
                });
                assert_eq!(stored.unwrap(), number, "all before it are stored");
            }
        }
    };
    write(1);
    device.wait("the first message", |model| {
        model.conversations.get(&conversation).is_some_and(|found| found.handed == 1)
    });
    device.cut();

    let writing = now();
    write(MISSED);
    let reading = now();
    device.told.clear();
    device.resume();
    let (cursor, last) = (device.model.cursor, MISSED as u64 + 1);
    assert!(cursor > 0 && device.model.conversations[&conversation].messages.len() == 1, "it knows what it knew");
    device.wait_synced();
    let (mut requests, mut more) = (0, device.model.conversations[&conversation].is_behind());
    assert!(more, "so much is not handed over at once");
    assert_eq!(device.model.unread(conversation), last, "but counted");
    while more {
        let before = device.model.conversations[&conversation].handed;
        let answer = device.ask(Command::Next { conversation }).unwrap();
        let Answer::Messages { messages, more: further, stale, .. } = answer else { panic!("{answer:?}") };
        assert!(!stale && messages.len() as u64 <= VIEW_LIMIT && !messages.is_empty());
        let numbers: Vec<_> = messages.iter().map(|message| message.number).collect();
        assert!(numbers.iter().copied().eq(before + 1..=before + numbers.len() as u64), "a piece continues the last");
        (requests, more) = (requests + 1, further);
    }
    let read = now();
    let expected = (2..=last).map(|number| (conversation, number, format!("text {number}")));
    assert!(device.told.iter().cloned().eq(expected), "each once, in order: {} came", device.told.len());
    let found = &device.model.conversations[&conversation];
    assert!(!found.is_behind() && found.spans.covers(1, last));
    assert_eq!(device.model.unread(conversation), last);
    assert!(device.model.cursor > cursor);
    // Nothing is pending: what comes now is pushed.
    write(1);
    device.wait("the newest message", |model| model.conversations[&conversation].handed == last + 1);
    assert_eq!(device.told.len(), MISSED + 1);
    eprintln!(
        "{MISSED} messages written in {:?}, read in {requests} pieces in {:?}",
        reading - writing,
        read - reading
    );
    cluster.stop();
}
