//! What a client does on a connection and without one, as a state machine: no socket, no thread.
//!
//! Inputs are commands ([`Engine::command`]), what happens to the connection ([`Engine::connected`],
//! [`Engine::received`], [`Engine::lost`], [`Engine::dial_failed`]) and time ([`Engine::tick`]). After any number of them
//! [`Engine::finish`] decides what to send, writes to disk what has changed, and only then lets go of notes and bytes: what
//! a program was told and what a node was told is on disk.
//!
//! `connection` takes in what happens to it and what the node says; `entry` logs in and out; `requests` carries commands
//! to the node and answers back; `outbox` has the writes that must happen once; this file holds the state and the order of
//! things.

mod connection;
mod entry;
mod outbox;
mod requests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;

use wire::chat::item::{Mark, Node};
use wire::chat::{FromClient, Request, request};
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::limits::ITEMS_PER_REQUEST_MAX;
use wire::session::client::State;
use wire::session::{Candidates, Client, Writes};
use wire::time::Millis;

use crate::command::{Answer, Command, Failure, Note, Password, Ticket};
use crate::env::{Clock, random};
use crate::limits::{
    ADDRESSES_MAX, DELTAS_PER_NOTE_MAX, MARKS_MS, PATIENCE_MS, PENDING_MAX, PROGRAM, SEND_BUFFER_BYTES_MAX, STALE_MS,
    WRITES_MAX,
};
use crate::link::Address;
use crate::model::{Delta, Link, LinkState, Marks, Model, Outage};
use crate::store::{Store, StoreError};

/// A client's side of everything.
#[derive(Debug)]
pub(crate) struct Engine {
    codec: Codec,
    clock: Clock,
    device_name: String,
    /// Tells this run of the program from others that may show the same token.
    life: u64,
    /// Addresses that are not on this machine may be used without TLS.
    plaintext_any: bool,
    client: Client<PENDING_MAX>,
    writes: Writes<WRITES_MAX>,
    candidates: Candidates<ADDRESSES_MAX>,
    /// Addresses that the user gave.
    given: Vec<String>,
    store: Store,
    model: Model,

    /// Taken in by the model and not on disk yet.
    deltas: Vec<Delta>,
    /// To be told once `deltas` are on disk.
    answers: Vec<(Ticket, Result<Answer, Failure>)>,
    /// To be sent once `deltas` are on disk.
    out: Vec<u8>,
    incoming: Vec<u8>,
    splitter: Splitter,
    preface_seen: bool,

    /// Open requests, by tag.
    asked: HashMap<u64, Asked>,
    next_tag: u64,
    /// Commands that wait for a connection or for room on it.
    waiting: VecDeque<(Ticket, Command)>,
    /// Who wants to log in, and how.
    entry: Option<entry::Wanted>,
    /// What is kept to log in again where no token is given.
    login: Option<(String, Password)>,
    /// This session may only read.
    read_only: bool,
    syncing: bool,
    marks_asked: bool,
    /// When marks may be sent again.
    marks_from: Millis,
    /// When to look whether a majority is back.
    probe_at: Option<Millis>,
    watched: Vec<u64>,
    watch_due: bool,

    /// Tickets of writes, by key.
    tickets: HashMap<u64, Ticket>,
    /// Keys of unanswered writes, by number.
    numbers: HashMap<u64, u64>,
    /// Keys of writes without a number.
    queued: BTreeSet<u64>,
    next_key: u64,

    /// The cluster that the certificate of this connection names.
    certified: Option<String>,
    /// The connection is to be closed, and why.
    hangup: Option<String>,
    /// The disk does not work.
    broken: Option<StoreError>,
    kept_addresses: Vec<String>,
    /// What went wrong, for people: the last thing in this round over all addresses, or better, what somebody who
    /// answered said.
    trouble: String,
    trouble_is_telling: bool,
}

/// What an open request is for.
#[derive(Debug)]
enum Asked {
    Sync,
    /// A message of one's own that was stored and never came back: it was deleted, or told before it was asked for.
    Echo {
        conversation: u64,
        number: u64,
    },
    Marks(Vec<(u64, Marks)>),
    Watch,
    Typing,
    Write {
        seq: u64,
        blank: bool,
    },
    Next {
        ticket: Ticket,
        conversation: u64,
        after: u64,
    },
    Command(Ticket, Command),
}

/// What an engine has to be told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) codec: Codec,
    pub(crate) device_name: String,
    pub(crate) plaintext_any: bool,
    pub(crate) clock: Clock,
}

impl Engine {
    /// For what a store holds. `addresses` come first, before those the store remembers.
    pub(crate) fn new(options: Options, store: Store, model: Model, addresses: &[Address]) -> Result<Self, StoreError> {
        let given: Vec<_> = addresses.iter().map(Address::to_string).collect();
        let known: Vec<_> = store.addresses()?.iter().map(Address::to_string).collect();
        let Options { codec, device_name, plaintext_any, clock } = options;
        let mut engine = Self {
            codec,
            clock,
            device_name,
            life: random(),
            plaintext_any,
            client: Client::new(PROGRAM).patience(PATIENCE_MS),
            writes: Writes::new(),
            candidates: places(&given, &known),
            given,
            store,
            model,
            deltas: Vec::new(),
            answers: Vec::new(),
            out: Vec::new(),
            incoming: Vec::new(),
            splitter: Splitter::of_node(codec),
            preface_seen: false,
            asked: HashMap::new(),
            next_tag: 0,
            waiting: VecDeque::new(),
            entry: None,
            login: None,
            read_only: false,
            syncing: false,
            marks_asked: false,
            marks_from: Millis::from_ms(0),
            probe_at: None,
            watched: Vec::new(),
            watch_due: false,
            tickets: HashMap::new(),
            numbers: HashMap::new(),
            queued: BTreeSet::new(),
            next_key: 1,
            certified: None,
            hangup: None,
            broken: None,
            kept_addresses: Vec::new(),
            trouble: String::new(),
            trouble_is_telling: false,
        };
        engine.restore_outbox();
        if !engine.wants_connection() {
            let why = engine.nobody();
            engine.set_link(LinkState::LogInNeeded { why });
        }
        Ok(engine)
    }

    // ---- getters -----------------------------------------------------------------------------------------------

    pub(crate) fn candidates(&mut self) -> &mut Candidates<ADDRESSES_MAX> {
        &mut self.candidates
    }

    /// Forgets how often nodes were tried in vain: the next one is tried at once.
    pub(crate) fn try_anew(&mut self) {
        if self.candidates.current().is_none() {
            let good = self.candidates.last_good();
            let others = self.candidates.addresses().filter(|&address| Some(address) != good);
            let known: Vec<_> = good.into_iter().chain(others).map(str::to_owned).collect();
            self.candidates = places(&self.given, &known);
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether there is a reason to connect: somebody to log in as.
    pub(crate) fn wants_connection(&self) -> bool {
        let identity = self.store.identity();
        self.entry.is_some() || self.login.is_some() || (identity.device != 0 && identity.token.is_some())
    }

    /// Whether an address may be used: with a pin any, otherwise those of this machine, or all if so told.
    pub(crate) fn may_use(&self, address: &Address) -> bool {
        self.store.identity().pin.is_some() || self.plaintext_any || address.is_loopback()
    }

    /// Whether the node has not said welcome yet.
    pub(crate) fn is_greeting(&self) -> bool {
        self.client.state() == State::Greeting
    }

    /// Whether the node knows everything that it is to be told by itself, and what it has stored of the outbox has come
    /// back: a program that ends as soon as it is served would otherwise ask for that in vain each time.
    pub(crate) fn is_quiet(&self) -> bool {
        let awaits_echo = || self.asked.values().any(|asked| matches!(asked, Asked::Echo { .. }));
        self.client.state() != State::Ready
            || (!self.marks_asked
                && self.model.marks_due().next().is_none()
                && self.writes.in_flight() == 0
                && !awaits_echo())
    }

    /// When [`Engine::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        let ready = self.client.state() == State::Ready;
        let marks = (self.may_mark() && self.model.marks_due().next().is_some()).then_some(self.marks_from);
        let writes = if self.has_room() { self.writes.poll_timeout() } else { None };
        [self.client.poll_timeout(), writes, marks, self.probe_at.filter(|_| ready)].into_iter().flatten().min()
    }

    // ---- time and order ----------------------------------------------------------------------------------------

    /// Time has passed.
    pub(crate) fn tick(&mut self) {
        let now = self.now();
        self.client.handle_timeout(now);
        if self.probe_at.is_some_and(|at| now >= at) && self.client.state() == State::Ready {
            self.probe_at = Some(now.after(STALE_MS));
            if !self.syncing {
                self.sync();
            }
        }
    }

    /// Decides what to send and writes what has changed to disk. Afterwards notes and bytes may go.
    ///
    /// # Errors
    /// The disk does not work. Nothing must be sent or told any more.
    pub(crate) fn finish(&mut self) -> Result<Vec<Note>, StoreError> {
        self.pump();
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let mut notes = Vec::new();
        self.commit(&mut notes)?;
        // Delivered means on disk, so these come behind the commit.
        self.send_marks();
        Ok(notes)
    }

    fn commit(&mut self, notes: &mut Vec<Note>) -> Result<(), StoreError> {
        if !self.deltas.is_empty() {
            self.store.commit(&self.deltas, &self.model)?;
            self.model.trim(None);
            let mut deltas = mem::take(&mut self.deltas);
            while deltas.len() > DELTAS_PER_NOTE_MAX {
                let rest = deltas.split_off(DELTAS_PER_NOTE_MAX);
                notes.push(Note::Changed(mem::replace(&mut deltas, rest)));
            }
            notes.push(Note::Changed(deltas));
        }
        notes.extend(self.answers.drain(..).map(|(ticket, outcome)| Note::Answer { ticket, outcome }));
        Ok(())
    }

    /// Takes what is to be sent.
    pub(crate) fn take_out(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.out);
    }

    /// What a program is told at the beginning.
    pub(crate) fn first_note(&self) -> Note {
        Note::Model(Box::new(self.model.clone()))
    }

    fn pump(&mut self) {
        let now = self.now();
        while let Some(frame) = self.client.poll_transmit(now) {
            self.encode(&frame);
        }
        if self.client.state() != State::Ready {
            return;
        }
        if self.watch_due && self.client.room() > 0 {
            self.send_watch();
        }
        self.pump_waiting();
        self.pump_writes();
    }

    /// Whether marks can be sent, if it is time.
    fn may_mark(&self) -> bool {
        self.has_room() && !self.marks_asked && !self.read_only && !self.syncing
    }

    fn send_marks(&mut self) {
        let now = self.now();
        if !self.may_mark() || now < self.marks_from {
            return;
        }
        let due: Vec<_> = self.model.marks_due().take(ITEMS_PER_REQUEST_MAX).collect();
        if due.is_empty() {
            return;
        }
        let marks = due
            .iter()
            .map(|&(conversation, marks)| Mark { conversation, user: 0, delivered: marks.delivered, read: marks.read })
            .collect();
        let request = Request::Mark(request::Marks { marks });
        self.marks_asked = self.ask(&request, Asked::Marks(due)).is_ok();
        self.marks_from = now.after(MARKS_MS);
    }

    /// The disk does not work: nothing that happens from now on must be sent or told.
    fn break_down(&mut self, error: StoreError) {
        self.broken = Some(error);
    }

    fn now(&self) -> Millis {
        self.clock.monotonic()
    }

    /// Takes a change in, to be written and told at the end of the turn.
    fn change(&mut self, delta: Delta) {
        self.model.apply(&delta);
        self.deltas.push(delta);
    }

    fn set_link(&mut self, state: LinkState) {
        let online = matches!(state, LinkState::Online);
        let outage = match &state {
            LinkState::Connecting { .. } | LinkState::Offline { .. } => {
                let since_ms = self.model.link.outage.as_ref().map(|outage| outage.since_ms);
                let since_ms = since_ms.unwrap_or_else(|| self.clock.unix_ms());
                Some(Outage { since_ms, why: self.trouble.clone() })
            }
            _ => None,
        };
        if outage.is_none() {
            self.trouble.clear();
            self.trouble_is_telling = false;
        }
        let link = Link { state, outage, stale: self.model.link.stale && online, ..self.model.link.clone() };
        if link != self.model.link {
            self.change(Delta::Link(link));
        }
    }

    fn answer(&mut self, ticket: Ticket, outcome: Result<Answer, Failure>) {
        self.answers.push((ticket, outcome));
    }

    /// Makes a request, if there is room for one.
    fn ask(&mut self, request: &Request<'_>, asked: Asked) -> Result<(), Asked> {
        let tag = self.next_tag;
        let Ok(id) = self.client.request(tag, self.now()) else { return Err(asked) };
        self.next_tag += 1;
        self.asked.insert(tag, asked);
        self.encode(&FromClient { id, request: Some(request.clone()) });
        Ok(())
    }

    fn encode(&mut self, frame: &FromClient<'_>) {
        self.codec.encode_frame_to_vec(frame, &mut self.out).expect("every request has a form in both codecs");
    }

    /// Whether more may be put on the connection now.
    fn has_room(&self) -> bool {
        self.client.room() > 0 && self.out.len() < SEND_BUFFER_BYTES_MAX
    }
}

/// All places to try: those the user gave first, then those that nodes told of, which nodes may take back.
fn places(given: &[String], told: &[String]) -> Candidates<ADDRESSES_MAX> {
    let mut candidates = Candidates::new();
    for address in given {
        // What does not fit is not tried; the list is longer than anybody's cluster.
        let _ = candidates.add(address);
    }
    let told: Vec<_> = told.iter().map(|address| Node { name: "", address, leader: false }).collect();
    candidates.learn(&told);
    candidates
}
