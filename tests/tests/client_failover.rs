//! Eight people write without pause on the client library, while the leader is killed again and again. Nobody helps their
//! programs to connect again. What they were told, what they show and what the cluster holds is the same.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use client_fltk::command::{Answer, Command, Ticket};
use client_fltk::link::Link;
use client_fltk::model::Target;
use tests::cluster::Cluster;
use tests::device::{Device, link};
use tests::oracle::{self, Ledger, Told, Turn};
use tests::{now, wait_until};

/// Who writes. Each shares one conversation with the one before and one with the one behind, so that every order comes of
/// two devices.
const WRITERS: usize = 8;

/// Messages of one writer that are on their way at once: more than one, so that an order can be lost.
const ON_THEIR_WAY: usize = 4;

/// How often the leader is killed in a row, unless `SAMIRA_TEST_KILLS` says otherwise.
const KILLS: usize = 12;

/// Longest time without any message stored that passes here, on a loaded test machine with an unoptimised build.
const INTERRUPTION_MAX: Duration = Duration::from_secs(10);

/// Every second writer takes unread messages in large pieces, the others as few at a time as people do.
const LARGE_VIEW_LIMIT: u64 = 500;

fn name(writer: usize) -> String {
    format!("writer{}", writer % WRITERS)
}

/// What one writer's device says at the end.
struct Account {
    /// Where each text was stored, as the answer said.
    stored: HashMap<String, (u64, u64)>,
    /// What the device shows, by conversation: number, sender and text.
    shown: BTreeMap<u64, Vec<(u64, u64, String)>>,
    /// How many texts were handed to the driver.
    sent: u64,
}

/// A text on its way.
struct Pending {
    text: String,
    number: u64,
    began: Instant,
}

fn write(writer: usize, directory: &Path, link: Link, ledger: &Ledger, stop: &AtomicBool) -> Account {
    let mut device = Device::start(directory, link);
    device.sign_up(&name(writer));
    if writer.is_multiple_of(2) {
        device.ask(Command::ViewLimit(LARGE_VIEW_LIMIT)).unwrap();
    }
    let peers = [name(writer + 1), name(writer + WRITERS - 1)];
    // The peers may have no account yet.
    for peer in &peers {
        wait_until("a peer to sign up", || device.ask(Command::OpenConversation { username: peer.clone() }).is_ok());
    }
    let mut pending: HashMap<Ticket, Pending> = HashMap::new();
    let mut stored = HashMap::new();
    let (mut sent, mut next) = (0, None);
    loop {
        let going_on = !stop.load(Relaxed);
        if !going_on && pending.is_empty() && next.is_none() {
            break;
        }
        while going_on && pending.len() < ON_THEIR_WAY {
            sent += 1;
            let text = format!("{} says {sent}", name(writer));
            let peer = &peers[usize::from(sent % 2 == 0)];
            let to = match device.model.direct(peer) {
                Some(found) if sent % 3 != 0 => Target::Conversation(found.id),
                _ => Target::Username(peer.clone()),
            };
            let began = now();
            let ticket = device.send(Command::Send { to, text: text.clone().into() });
            pending.insert(ticket, Pending { text, number: sent, began });
        }
        device.turn();
        let answers: Vec<_> = device.answers().collect();
        for (ticket, outcome) in answers {
            if Some(ticket) == next {
                // Without a connection it is asked again below.
                next = None;
                continue;
            }
            let Some(Pending { text, number, began }) = pending.remove(&ticket) else { continue };
            match outcome {
                Ok(Answer::Stored { conversation, number: place }) => {
                    ledger.note(&text, Turn { writer, number }, began, Told::Stored);
                    stored.insert(text, (conversation, place));
                }
                other => panic!("{} number {number} was not stored: {other:?}", name(writer)),
            }
        }
        // Reads as people do, so that unread messages do not pile up.
        let me = device.model.me();
        let unread = device.model.conversations.values().filter(|one| one.readable() > one.read(me));
        let unread: Vec<_> = unread.map(|one| (one.id, one.readable())).collect();
        for (conversation, upto) in unread {
            device.send(Command::MarkRead { conversation, upto });
        }
        let behind = device.model.conversations.values().find(|one| one.is_behind()).map(|one| one.id);
        if let Some(conversation) = behind.filter(|_| going_on && next.is_none()) {
            next = Some(device.send(Command::Next { conversation }));
        }
    }
    device.wait_written();
    device.catch_up();
    device.read_back(true);
    device.wait_seen_through();
    let shown = device.model.conversations.values().map(|one| {
        let messages = one.messages.values().map(|message| (message.number, message.sender, message.text.0.clone()));
        (one.id, messages.collect())
    });
    Account { stored, shown: shown.collect(), sent }
}

/// Running writers. They are told to stop when a test fails as well.
struct Writers {
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Account>>,
}

impl Writers {
    fn start(cluster: &Cluster, profiles: &Path) -> Self {
        let (ledger, stop) = (Arc::new(Ledger::default()), Arc::new(AtomicBool::new(false)));
        let threads = (0..WRITERS).map(|writer| {
            // One address; the others are told by the cluster.
            let link = link(&cluster.nodes[writer % cluster.nodes.len()]);
            let directory: PathBuf = profiles.join(name(writer));
            let (ledger, stop) = (ledger.clone(), stop.clone());
            thread::spawn(move || write(writer, &directory, link, &ledger, &stop))
        });
        let threads = threads.collect();
        Self { ledger, stop, threads }
    }

    fn wait_for_more(&self, messages: usize) {
        let goal = self.ledger.count(Told::Stored) + messages;
        wait_until("further messages to be stored", || {
            let ended = self.threads.iter().any(thread::JoinHandle::is_finished);
            assert!(!ended, "a writer has failed; it said why");
            self.ledger.count(Told::Stored) >= goal
        });
    }

    /// The longest time without an acknowledgement that began or ended after `fault`.
    fn interruption(&self, fault: Instant) -> Duration {
        let times = self.ledger.stored_at();
        let after = times.partition_point(|&time| time < fault);
        times[after.saturating_sub(1)..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }

    fn finish(&mut self) -> Vec<Account> {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).map(|thread| thread.join().expect("it said why")).collect()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

#[test]
fn what_devices_were_told_survives_every_leader() {
    let kills = std::env::var("SAMIRA_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let profiles = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3);
    let mut writers = Writers::start(&cluster, profiles.path());
    let mut gaps = Vec::new();
    for _ in 0..kills {
        writers.wait_for_more(50);
        let leader = cluster.leader();
        let killed = now();
        cluster.nodes[leader].kill();
        writers.wait_for_more(50);
        gaps.push(writers.interruption(killed));
        cluster.nodes[leader].start(None);
        cluster.wait_voters(3);
    }
    let accounts = writers.finish();
    cluster.settle();
    cluster.stop();
    // Every acknowledged message is there once, in its sender's order; all nodes hold the same.
    writers.ledger.check(&cluster.nodes);

    let messages = oracle::messages(&cluster.nodes[0].dir);
    let mut held: BTreeMap<u64, Vec<(u64, u64, String)>> = BTreeMap::new();
    for message in &messages {
        let line = (message.number, message.sender, message.text.clone());
        held.entry(message.conversation).or_default().push(line);
    }
    let sent: u64 = accounts.iter().map(|account| account.sent).sum();
    assert_eq!(messages.len() as u64, sent, "everything that was ever queued is stored, and nothing else");
    let places: HashMap<&str, (u64, u64)> =
        messages.iter().map(|message| (&*message.text, (message.conversation, message.number))).collect();
    let mut placeless = 0;
    for (writer, account) in accounts.iter().enumerate() {
        assert_eq!(account.stored.len() as u64, account.sent, "{} has an answer to everything", name(writer));
        for (text, &(conversation, number)) in &account.stored {
            if number == 0 {
                // It was stored so long ago that the cluster does not know where any more.
                placeless += 1;
                continue;
            }
            assert_eq!(places[&**text], (conversation, number), "{} was told another place", name(writer));
        }
        assert_eq!(account.shown.len(), 2, "{} has two conversations", name(writer));
        for (conversation, shown) in &account.shown {
            assert!(*shown == held[conversation], "{} shows conversation {conversation} differently", name(writer));
        }
    }
    gaps.sort();
    eprintln!(
        "{kills} kills, {sent} messages, {placeless} answers without a place, interruption of writes {gaps:?}, median {:?}",
        gaps.get(gaps.len() / 2)
    );
    assert!(gaps.iter().all(|&gap| gap < INTERRUPTION_MAX), "too long");
}
