//! People who go on talking through all of it.
//!
//! Pairs of people share a conversation; each conversation is written by several connections, over all nodes and both
//! codecs, some with one request under way and some with many. Besides, connections break off in the middle of a request
//! and go on elsewhere, messages are deleted again, and accounts come and go.
//!
//! The first of a pair reads and deletes. The second never opens the page, so the unread count in their list of
//! conversations is the number of messages of the first; it is held against what was acknowledged, on one node after the
//! other: reads must be linearizable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{Chat, ChatsReply, Message, MessagesReply, Outcome};

use super::accounts::Accounts;
use super::pace::{Gate, Pulse};
use super::rng::Rng;
use super::{Violations, pass};
use crate::legacy_client::{CallError, Client};
use crate::now;
use crate::oracle::{Ledger, Told, Turn};

/// Requests that the writers have under way, in turn.
const WINDOWS: [usize; 4] = [1, 8, 1, 32];

/// Pause between two looks at a list of conversations, and between two accounts.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Pause before another node is tried.
const SEAT_PAUSE: Duration = Duration::from_millis(20);

/// A page that has not asked for longer than this may count as closed; the node waits for five seconds.
const PAGE_SILENCE: Duration = Duration::from_secs(4);

/// Messages deleted at once, at most.
const DELETED_MAX: usize = 3;

/// What all of them share.
pub struct Shared {
    /// What they were told of messages.
    pub ledger: Ledger,
    /// What they were told of accounts.
    pub accounts: Accounts,
    /// When messages were acknowledged.
    pub pulse: Pulse,
    gate: Gate,
    /// Nobody pauses between requests.
    hurry: AtomicBool,
    violations: Violations,
    addresses: RwLock<Vec<SocketAddr>>,
    conversations: Vec<Counts>,
}

/// Messages of the first person of a conversation.
#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    stored: AtomicU64,
    /// Deletions that may have been done.
    deleted: AtomicU64,
}

/// All of them.
pub struct Workload {
    /// What they share.
    pub shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Starts `clients` writers, as many lookers as there are conversations, and one who makes accounts. Together the
    /// writers send about `rate` messages a second.
    ///
    /// # Panics
    /// When the cluster does not serve.
    pub fn start(addresses: Vec<SocketAddr>, clients: usize, rate: usize, rng: &mut Rng, found: &Violations) -> Self {
        // Three writers each: two of them as the same person.
        let pairs = clients.div_ceil(3).max(1);
        let mut founder = Client::connect(addresses[0], Codec::Json).expect("a started cluster serves");
        for name in (0..pairs).flat_map(|pair| [first(pair), second(pair)]) {
            founder.signup(&name).expect("a started cluster makes accounts");
        }
        let shared = Arc::new(Shared {
            ledger: Ledger::default(),
            accounts: Accounts::default(),
            pulse: Pulse::default(),
            gate: Gate::default(),
            hurry: AtomicBool::new(false),
            violations: found.clone(),
            addresses: RwLock::new(addresses),
            conversations: (0..pairs).map(|_| Counts::default()).collect(),
        });
        let mut threads = Vec::new();
        let mut spawn = |run: Box<dyn FnOnce(Arc<Shared>) + Send>| {
            let shared = shared.clone();
            shared.gate.enter();
            threads.push(thread::spawn(move || {
                let shared_too = shared.clone();
                run(shared_too);
                shared.gate.leave();
            }));
        };
        for id in 0..clients {
            let (pair, window) = (id % pairs, WINDOWS[id % WINDOWS.len()]);
            let is_first = id / pairs != 1;
            let (me, peer) = if is_first { (first(pair), second(pair)) } else { (second(pair), first(pair)) };
            let turn_pause = Duration::from_secs(1) * u32::try_from(window * clients).unwrap_or(u32::MAX)
                / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
            let (codec, rng) = (Codec::LEGACY[id % Codec::LEGACY.len()], rng.branch());
            spawn(Box::new(move |shared| {
                Writer { id, me, peer, pair, is_first, window, turn_pause, codec, rng, shared, next: 0 }.run();
            }));
        }
        for pair in 0..pairs {
            let rng = rng.branch();
            spawn(Box::new(move |shared| look(pair, rng, &shared)));
        }
        let rng = rng.branch();
        spawn(Box::new(move |shared| come_and_go(rng, &shared)));
        Self { shared, threads }
    }

    /// They may use these nodes from now on.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        *self.shared.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Whether the writers send as fast as they are answered.
    pub fn hurry(&self, hurry: bool) {
        self.shared.hurry.store(hurry, Relaxed);
    }

    /// Returns when all of them pause, until [`Workload::resume`].
    ///
    /// # Panics
    /// When one does not come to an end with its request.
    pub fn pause(&self) {
        self.shared.gate.pause();
    }

    /// They go on.
    pub fn resume(&self) {
        self.shared.gate.resume();
    }

    /// They finish what they began, and leave.
    pub fn stop(&mut self) {
        self.shared.gate.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.violations.report("a client of this program panicked, see above".into());
            }
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.shared.gate.stop();
    }
}

fn first(pair: usize) -> String {
    format!("ann{pair}")
}

fn second(pair: usize) -> String {
    format!("bob{pair}")
}

impl Shared {
    /// The next node to try.
    fn address(&self, turn: &mut usize) -> SocketAddr {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        *turn += 1;
        addresses[*turn % addresses.len()]
    }

    /// A connection made by `try_to`, on whichever node serves; `None` at the end.
    fn seat<T>(&self, turn: &mut usize, mut try_to: impl FnMut(SocketAddr) -> Option<T>) -> Option<T> {
        loop {
            if !self.gate.pass() {
                return None;
            }
            if let Some(seat) = try_to(self.address(turn)) {
                return Some(seat);
            }
            pass(SEAT_PAUSE);
        }
    }
}

/// One who writes.
struct Writer {
    id: usize,
    me: String,
    peer: String,
    pair: usize,
    /// Of the pair.
    is_first: bool,
    /// Requests under way together.
    window: usize,
    turn_pause: Duration,
    codec: Codec,
    rng: Rng,
    shared: Arc<Shared>,
    /// Number of the next message.
    next: u64,
}

/// Where a writer sits.
struct Seat {
    client: Client,
    chat: String,
    /// Texts shown on the open page, by message id.
    shown: BTreeMap<i64, String>,
    /// Length of the list that the page was sent last.
    count: usize,
    /// When the page asked last.
    asked: Instant,
    /// Whether the node takes it for the same page is not known.
    unsure: bool,
}

impl Seat {
    /// The page and the node may not agree any more on what was shown.
    fn forget(&mut self) {
        self.shown.clear();
        self.count = 0;
        self.unsure = true;
    }
}

/// The connection is of no use any more.
struct Lost;

impl Writer {
    fn run(mut self) {
        let mut turn = self.id;
        let shared = self.shared.clone();
        loop {
            let seat = shared.seat(&mut turn, |address| {
                let mut client = Client::logged_in(address, self.codec, &self.me).ok()?;
                let chat = client.start_chat(&self.me, &self.peer).ok()?;
                Some(Seat { client, chat, shown: BTreeMap::new(), count: 0, asked: now(), unsure: false })
            });
            let Some(mut seat) = seat else { return };
            for _ in 0..100 + self.rng.below(400) {
                if !shared.gate.pass() {
                    return;
                }
                let done = match self.rng.below(20) {
                    0 if self.is_first => self.read(&mut seat).map(drop),
                    1 if self.is_first && self.rng.one_in(3) => self.delete(&mut seat),
                    2 if self.rng.one_in(4) => self.break_off(&mut seat),
                    _ => self.send(&mut seat),
                };
                if done.is_err() {
                    break;
                }
                if !shared.hurry.load(Relaxed) {
                    pass(self.turn_pause);
                }
            }
        }
    }

    fn text(&mut self) -> (String, Turn) {
        self.next += 1;
        (format!("{}.{}", self.id, self.next), Turn { writer: self.id, number: self.next })
    }

    fn counts(&self) -> Option<&Counts> {
        self.is_first.then(|| &self.shared.conversations[self.pair])
    }

    fn frame(&self, seat: &Seat, text: &str) -> Vec<u8> {
        seat.client.encode(&Request::SendChatMessage {
            chat_id: seat.chat.as_str().into(),
            sender: self.me.as_str().into(),
            content: text.into(),
        })
    }

    /// As many messages as the window has, all of them sent before the first answer is read.
    fn send(&mut self, seat: &mut Seat) -> Result<(), Lost> {
        let texts: Vec<_> = (0..self.window).map(|_| self.text()).collect();
        let bytes: Vec<_> = texts.iter().flat_map(|(text, _)| self.frame(seat, text)).collect();
        if let Some(counts) = self.counts() {
            counts.begun.fetch_add(texts.len() as u64, SeqCst);
        }
        let began = now();
        let mut fine = seat.client.send_bytes(&bytes).map_err(CallError::from);
        let mut refused = false;
        for (text, turn) in &texts {
            let answer = match &fine {
                Ok(()) => match seat.client.receive::<Outcome<String>>() {
                    Ok(outcome) if outcome.success => Ok(()),
                    Ok(outcome) => Err(CallError::Refused(outcome.error_message)),
                    Err(error) => Err(CallError::Io(error)),
                },
                Err(_) => Err(CallError::Io(std::io::ErrorKind::BrokenPipe.into())),
            };
            let told = Told::by(&answer);
            self.shared.ledger.note(text, *turn, began, told);
            match answer {
                Ok(()) => {
                    self.shared.pulse.beat();
                    if let Some(counts) = self.counts() {
                        counts.stored.fetch_add(1, SeqCst);
                    }
                }
                Err(CallError::Refused(_)) => refused = true,
                Err(error) => fine = Err(error),
            }
        }
        if fine.is_err() || refused { Err(Lost) } else { Ok(()) }
    }

    /// Hangs up in the middle of a request, or right behind it.
    fn break_off(&mut self, seat: &mut Seat) -> Result<(), Lost> {
        let (text, turn) = self.text();
        let bytes = self.frame(seat, &text);
        let began = now();
        let whole = self.rng.one_in(2);
        let end = if whole { bytes.len() } else { 1 + self.rng.below(bytes.len() - 1) };
        if let Some(counts) = self.counts().filter(|_| whole) {
            counts.begun.fetch_add(1, SeqCst);
        }
        // Whether it arrives is all the same.
        let _ = seat.client.send_bytes(&bytes[..end]);
        self.shared.ledger.note(&text, turn, began, if whole { Told::Unknown } else { Told::Refused });
        Err(Lost)
    }

    /// What the page's timer does. A page shows what its list has grown by, and what it shows may never be older than what
    /// it has shown, but for what was deleted. A list that is shorter than the last one is one that starts afresh: the page
    /// shows nothing of it, and what it holds is sent again from the next list on (ADR 7).
    fn read(&mut self, seat: &mut Seat) -> Result<Vec<Message<String>>, Lost> {
        let asked = now();
        let request =
            Request::GetMessages { chat_id: seat.chat.as_str().into(), current_user: self.me.as_str().into() };
        let reply: MessagesReply<Vec<Message<String>>, String> = seat.client.call_raw(&request).map_err(|_| Lost)?;
        if reply.success != Some(true) {
            return Err(Lost);
        }
        drop(request);
        let messages = reply.messages;
        // The node's own measure lies between these: it may have come to the question before late, and to this one.
        if seat.asked.elapsed() > PAGE_SILENCE {
            // It may take the page for one that is opened anew, or not.
            seat.forget();
        }
        seat.asked = asked;
        if reply.stale {
            // Shown and not marked as read. The page may go on from it or begin with what is unread.
            seat.forget();
            return Ok(messages);
        }
        if std::mem::take(&mut seat.unsure) {
            // Of a page that goes on this may be a list that starts afresh, of which a page shows nothing.
            seat.count = messages.len();
            return Ok(messages);
        }
        let newest = messages.iter().map(|message| message.id).max().unwrap_or(0);
        let gone = seat.shown.range(newest + 1..).find(|(id, _)| !self.shared.ledger.may_be_deleted(**id));
        // A list that starts afresh begins with what counts as unread: again, if the mark of what was shown was not stored.
        if let Some((id, text)) = gone.filter(|_| messages.len() >= seat.count) {
            self.shared.violations.report(format!(
                "{} was shown message {id} `{text}`, and later on the same page nothing newer than {newest}: a list of {}, \
                 after one of {}",
                self.me,
                messages.len(),
                seat.count
            ));
        }
        // Placeholders have no id.
        if !messages.iter().filter(|message| message.id != 0).is_sorted_by_key(|message| message.id) {
            self.shared.violations.report(format!("{} was shown a list out of order", self.me));
        }
        let new = messages.get(seat.count..).unwrap_or_default();
        seat.shown.extend(new.iter().map(|message| (message.id, message.content.clone())));
        seat.count = messages.len();
        // Only the newest can be missed.
        while seat.shown.len() > 100 {
            seat.shown.pop_first();
        }
        Ok(messages)
    }

    /// Deletes some of the own messages that the page shows.
    fn delete(&mut self, seat: &mut Seat) -> Result<(), Lost> {
        let messages = self.read(seat)?;
        let mut own: Vec<_> = (0..).zip(&messages).filter(|(_, message)| message.sender == self.me).collect();
        self.rng.shuffle(&mut own);
        own.truncate(1 + self.rng.below(DELETED_MAX));
        if own.is_empty() {
            return Ok(());
        }
        let places: Vec<i64> = own.iter().map(|(place, _)| *place).collect();
        let marked: Vec<(i64, &str)> = own.iter().map(|(_, message)| (message.id, message.content.as_str())).collect();
        self.shared.ledger.deletion_begins(&marked);
        if let Some(counts) = self.counts() {
            counts.deleted.fetch_add(places.len() as u64, SeqCst);
        }
        let answer = seat.client.delete_messages(&seat.chat, &self.me, &places);
        self.shared.ledger.deletion_ends(&marked, Told::by(&answer));
        answer.map_err(|_| Lost)
    }
}

/// Looks at the unread count of the second of a pair, here and there.
fn look(pair: usize, mut rng: Rng, shared: &Shared) {
    let me = second(pair);
    let mut turn = pair;
    loop {
        let codec = Codec::LEGACY[rng.below(Codec::LEGACY.len())];
        let Some(mut client) = shared.seat(&mut turn, |address| Client::logged_in(address, codec, &me).ok()) else {
            return;
        };
        for _ in 0..10 + rng.below(20) {
            if !shared.gate.pass() {
                return;
            }
            let counts = &shared.conversations[pair];
            let least = counts.stored.load(SeqCst);
            let request = Request::GetChats { user_id: me.as_str().into() };
            let Ok(reply) = client.call_raw::<ChatsReply<Vec<Chat<String>>, String>>(&request) else { break };
            let (most, deleted) = (counts.begun.load(SeqCst), counts.deleted.load(SeqCst));
            if !reply.success {
                break;
            }
            let chat = reply.chats.iter().find(|chat| chat.other_user == first(pair));
            let unread = chat.map_or(0, |chat| u64::try_from(chat.unread_count).unwrap_or(0));
            if unread > most || (!reply.stale && unread + deleted < least) {
                shared.violations.report(format!(
                    "{me} has {unread} unread messages, but {least} were stored before the question, {most} were begun, \
                     and at most {deleted} deleted"
                ));
            }
            pass(LOOK_PAUSE);
        }
    }
}

/// Makes accounts and deletes some of them.
fn come_and_go(mut rng: Rng, shared: &Shared) {
    let mut turn = 0;
    for number in 0.. {
        let codec = Codec::LEGACY[number % Codec::LEGACY.len()];
        let Some(mut client) = shared.seat(&mut turn, |address| Client::connect(address, codec).ok()) else { return };
        let name = format!("guest{number}");
        let made = client.signup(&name);
        shared.accounts.made(&name, Told::by(&made));
        if made.is_ok() && rng.one_in(2) {
            let deleted = client.delete_user(&name);
            shared.accounts.deleted(&name, Told::by(&deleted));
        }
        pass(LOOK_PAUSE);
    }
}
