//! The chat service: requests in, replies and events out, in two dialects.
//!
//! One task owns all client sessions. It is woken by turns of the poll thread, by outcomes of writes, by jobs that have
//! ended, by what was applied, by other nodes, and by deadlines; whatever one wake-up yields goes back to the poll thread
//! as one batch. Idle connections have no task and no timer.
//!
//! Reading order:
//!
//! * [`backend`]: what both dialects stand on.
//! * [`chat`]: our own dialect, in SAMIRA/2 and JSON/2: pipelined requests, and events that are pushed.
//! * [`legacy`]: the dialect of the original's clients.
//! * [`bearer`]: tokens as gRPC calls carry them.
//! * [`passwords`]: Argon2id on a thread of its own.
//! * [`standstill`]: whether what was read may be older than anybody waits.
//!
//! What a client may do follows from who is logged in on its connection, in both.

mod backend;
pub(crate) mod bearer;
mod chat;
pub(crate) mod legacy;
mod named;
mod passwords;
mod standstill;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use wire::DecodeErrorKind;
use wire::codec::Codec;
use wire::frame;
use wire::replication::command::Command;
use wire::replication::rpc::Whisper;

use self::backend::{Backend, Cluster, NodeAddress};
use self::passwords::Passwords;
use crate::bridge::{CallReplies, ConnId, Event, Outgoing, Replies, Security, Turn};
use crate::chat::effect::{Applied, Audience, Listener};
use crate::env::Clock;
use crate::limits::{EFFECTS_MAX, STANDSTILL_LOOK};
use crate::raft::leader::Leadership;
use crate::raft::propose::{Completion, ProposeError, Proposer, Ticket};
use crate::raft::read::{Freshness, Reads};
use crate::raft::whisper::{Heard, Whispers};
use crate::storage::Queries;

/// What the service works with.
#[derive(Debug)]
pub struct Parts {
    /// Where writes go.
    pub proposer: Proposer,
    /// What reads wait for.
    pub reads: Reads,
    /// Where reads look.
    pub queries: Queries,
    /// Where replies go.
    pub replies: Replies,
    /// Where replies to calls go.
    pub call_replies: CallReplies,
    /// Who leads, and who else there is.
    pub leadership: Leadership,
    /// What other nodes are told in passing.
    pub whispers: Whispers,
    /// Who we are.
    pub whom: Whom,
    /// Whether strangers may make accounts.
    pub signup_open: bool,
}

/// What clients are told about this node.
#[derive(Debug, Clone)]
pub struct Whom {
    /// Id of the cluster.
    pub cluster: String,
    /// Name of this node.
    pub node: String,
}

/// What wakes the service.
#[derive(Debug)]
pub struct Inputs {
    /// What clients send.
    pub turns: mpsc::Receiver<Turn>,
    /// What calls send.
    pub called: mpsc::Receiver<Turn>,
    /// Outcomes of writes.
    pub completions: mpsc::Receiver<Vec<Completion>>,
    /// What was applied.
    pub applied: AppliedQueue,
    /// What other nodes say in passing.
    pub whispered: mpsc::Receiver<Heard>,
}

/// What was applied, on its way from the apply thread to the service. Where the service does not keep up, something is
/// left out, and it is told that.
#[derive(Debug)]
pub struct AppliedQueue {
    audience: Audience,
    queue: mpsc::Receiver<Applied>,
    left_out: Arc<Notify>,
}

/// Makes the way from the apply thread to the service.
pub fn applied_queue() -> (Listener, AppliedQueue) {
    let (sender, queue) = mpsc::channel(EFFECTS_MAX);
    let (audience, left_out) = (Audience::default(), Arc::new(Notify::new()));
    let noticed = left_out.clone();
    let tell = Box::new(move |applied| {
        if sender.try_send(applied).is_err() {
            noticed.notify_one();
        }
    });
    (Listener { audience: audience.clone(), tell }, AppliedQueue { audience, queue, left_out })
}

/// Starts the service as a task of the running runtime. It ends when the transport or the proposer does.
///
/// # Errors
/// The thread for passwords cannot be started.
pub fn start(parts: Parts, inputs: Inputs) -> io::Result<(JoinHandle<()>, OriginalCalls)> {
    let Parts { proposer, reads, queries, replies, call_replies, leadership, whispers, whom, signup_open } = parts;
    let passwords = Passwords::start()?;
    let cluster = Consensus { proposer, reads, leadership: leadership.clone(), whispers };
    let backend = Backend { cluster, queries, passwords };
    let calls = legacy::calls::Calls::new(backend.clone(), signup_open);
    let send = move |mut batch: Vec<Outgoing>| {
        batch.extract_if(.., |outgoing| outgoing.conn.is_call()).for_each(|outgoing| call_replies.send(outgoing));
        replies.send(batch);
    };
    let service = Service::new(backend, whom, signup_open, inputs.applied.audience.clone(), send);
    Ok((tokio::spawn(service.run(inputs, Some(leadership))), OriginalCalls(calls)))
}

/// Takes calls of the original's gRPC package.
#[derive(Debug)]
pub struct OriginalCalls(pub(crate) legacy::calls::Calls<Consensus>);

/// The real cluster.
#[derive(Debug, Clone)]
pub(crate) struct Consensus {
    proposer: Proposer,
    reads: Reads,
    leadership: Leadership,
    whispers: Whispers,
}

impl Cluster for Consensus {
    fn submit(&self, command: &Command<'_>, ticket: Ticket) -> Result<(), ProposeError> {
        self.proposer.submit(command, ticket)
    }

    async fn barrier(&self) -> Freshness {
        self.reads.barrier().await
    }

    fn rules(&self) -> u16 {
        self.proposer.rules_in_force()
    }

    fn nodes(&self) -> Vec<NodeAddress> {
        let leader = self.leadership.leader();
        let members = self.leadership.members().into_iter();
        members
            .map(|(member, _)| NodeAddress {
                leader: leader == Some(member.id),
                name: member.name,
                address: member.address,
            })
            .collect()
    }

    fn whisper(&self, whispers: Vec<Whisper>) {
        self.whispers.send(whispers);
    }
}

/// All sessions of both dialects.
struct Service<C, S> {
    backend: Backend<C>,
    /// Connections that speak JSON and have not shown yet in which dialect.
    undecided: HashMap<ConnId, Undecided>,
    legacy: legacy::Clients<C>,
    chat: chat::Clients<C>,
    send: S,
}

#[derive(Debug, Clone, Copy)]
struct Undecided {
    secure: bool,
    own_dialect: bool,
}

/// Numbers under which one dialect waits for its writes.
#[derive(Debug)]
struct Tickets {
    next: u64,
}

impl Tickets {
    /// The even ones.
    const LEGACY: Tickets = Tickets { next: 0 };
    /// The odd ones.
    const CHAT: Tickets = Tickets { next: 1 };

    fn next(&mut self) -> u64 {
        let ticket = self.next;
        self.next += 2;
        ticket
    }
}

impl<C: Cluster, S: Fn(Vec<Outgoing>) + Send> Service<C, S> {
    fn new(backend: Backend<C>, whom: Whom, signup_open: bool, audience: Audience, send: S) -> Self {
        Service {
            undecided: HashMap::new(),
            legacy: legacy::Clients::new(backend.clone(), signup_open, Tickets::LEGACY),
            chat: chat::Clients::new(backend.clone(), whom, signup_open, audience),
            backend,
            send,
        }
    }

    async fn run(mut self, inputs: Inputs, mut leadership: Option<Leadership>) {
        let Inputs { mut turns, mut called, mut completions, applied, mut whispered } = inputs;
        let AppliedQueue { mut queue, left_out, .. } = applied;
        let mut looks = tokio::time::interval(STANDSTILL_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.chat.deadline();
            tokio::select! {
                // What is done first: it makes room for what is new.
                biased;
                completed = completions.recv() => match completed {
                    Some(completed) => completed.into_iter().for_each(|one| self.written(one)),
                    None => return,
                },
                Some(applied) = queue.recv() => {
                    self.chat.applied(&applied);
                    while let Ok(more) = queue.try_recv() {
                        self.chat.applied(&more);
                    }
                }
                () = left_out.notified() => self.chat.missed(|_| true),
                Some(ended) = self.legacy.next_ended() => self.legacy.job_done(ended),
                Some(ended) = self.chat.next_ended() => self.chat.job_done(ended),
                () = changed(&mut leadership) => self.chat.cluster_changed(),
                () = until(deadline) => self.chat.due(Clock.monotonic()),
                _ = looks.tick() => self.chat.note_time(Clock.monotonic()),
                turn = turns.recv() => match turn {
                    Some(turn) => self.turn(turn),
                    None => return,
                },
                Some(turn) = called.recv() => {
                    self.turn(turn);
                    while let Ok(more) = called.try_recv() {
                        self.turn(more);
                    }
                }
                Some((node, whispers)) = whispered.recv() => self.chat.heard(node, &whispers),
            }
            let whispers = self.chat.take_whispers();
            if !whispers.is_empty() {
                self.backend.cluster.whisper(whispers);
            }
            let mut batch = Vec::new();
            self.legacy.take_outgoing(&mut batch);
            self.chat.take_outgoing(&mut batch);
            (self.send)(batch);
        }
    }

    fn turn(&mut self, turn: Turn) {
        let Turn { mut bytes, events } = turn;
        self.chat.note_time(Clock.monotonic());
        // Who has ended when its last frames are looked at does not wait for what they ask.
        let left: BTreeSet<ConnId> = events.iter().filter_map(Event::end_of).collect();
        for event in events {
            match event {
                Event::Opened { conn, codec, secure, own_dialect, peer: _ } => {
                    let secure = secure != Security::Plain;
                    match codec {
                        Codec::Json => drop(self.undecided.insert(conn, Undecided { secure, own_dialect })),
                        Codec::Samira1 => self.legacy.opened(conn, codec),
                        Codec::Json2 | Codec::Samira2 => self.chat.opened(conn, codec, secure),
                    }
                }
                Event::Called { conn, secure, who, listens } => {
                    self.chat.called(conn, secure != Security::Plain, who, listens);
                }
                Event::Frame { conn, range } => self.frame(conn, &mut bytes[range], left.contains(&conn)),
                Event::Malformed { conn, error } => {
                    self.decide(conn, None);
                    self.chat.malformed(conn, error);
                    self.legacy.malformed(conn, error);
                }
                Event::Ended { conn } => {
                    self.legacy.ended(conn);
                    self.chat.ended(conn);
                }
                Event::Closed { conn } => {
                    self.undecided.remove(&conn);
                    self.legacy.closed(conn);
                    self.chat.closed(conn);
                }
            }
        }
    }

    /// A frame has come; `left`: whoever sent it has ended the connection behind it.
    fn frame(&mut self, conn: ConnId, bytes: &mut [u8], left: bool) {
        self.decide(conn, Some(bytes));
        match self.chat.codec(conn) {
            Some(codec) => self.chat.frame(conn, frame::body(codec, bytes), left),
            None => self.legacy.frame(conn, bytes),
        }
    }

    /// The first message of a connection in JSON tells its dialect.
    fn decide(&mut self, conn: ConnId, first: Option<&[u8]>) {
        let Some(Undecided { secure, own_dialect }) = self.undecided.remove(&conn) else { return };
        if own_dialect || first.is_some_and(says_hello) {
            self.chat.opened(conn, Codec::Json2, secure);
        } else {
            self.legacy.opened(conn, Codec::Json);
        }
    }

    fn written(&mut self, Completion { ticket, result }: Completion) {
        if ticket % 2 == Tickets::LEGACY.next {
            self.legacy.written(ticket, &result);
        } else {
            self.chat.written(ticket, &result);
        }
    }
}

/// Whether the first message of a connection is one of our own dialect.
fn says_hello(message: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        hello: Option<IgnoredAny>,
    }

    // Decoding JSON changes it, and this message is decoded again.
    let mut copy = message.to_vec();
    match Codec::Json.decode::<Probe>(&mut copy) {
        Ok(probe) => probe.hello.is_some(),
        // Twice: it is told so in its own dialect.
        Err(error) => error.kind == DecodeErrorKind::Repeated("hello"),
    }
}

/// Returns when leader or members have changed; never without a cluster that could.
async fn changed(leadership: &mut Option<Leadership>) {
    match leadership {
        Some(leadership) => leadership.changed().await,
        None => std::future::pending().await,
    }
}

/// Returns at `deadline`; never without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
