//! What one session at a time is done for: requests carried out, replies and events sent, deadlines noted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wire::chat::event::{self, Bye};
use wire::chat::item::{Deleted, Mark, Message, Node};
use wire::chat::reply::Welcome;
use wire::chat::{Code, Event, List, Reply};
use wire::codec::Codec;
use wire::limits::{CHAT_VERSION, MESSAGE_TEXT_BYTES_MAX, PIPELINE_MAX, SILENCE_MS_MAX};
use wire::replication::command::Command;
use wire::session::server::{Identity, Step};

use super::Ended;
use super::accounts::Enter;
use super::answer::{self, No};
use super::dispatch::{self, Numbered, Plan};
use super::feed::{Feed, Tell};
use super::job::{self, Job};
use super::marks::Gathered;
use super::presence::Presence;
use super::session::Session;
use crate::bridge::{ConnId, Outgoing};
use crate::chat::effect::{Audience, Effect, What};
use crate::env::Clock;
use crate::limits::RECHECK_HINT_MS;
use crate::raft::propose::{ProposeError, Ticket};
use crate::service::backend::{Backend, Cluster, NodeAddress};
use crate::service::named;
use crate::service::standstill::Standstill;
use crate::service::{Tickets, Whom};

/// Who waits for a write, and for what.
#[derive(Debug)]
pub(super) enum Write {
    /// A request of a client; `wrong` is what it is told whatever comes of it, and `by_name` that it names a person.
    Request { conn: ConnId, id: u64, wrong: Option<No>, by_name: bool },
    /// Gathered marks.
    Marks { conn: ConnId },
}

impl Write {
    /// Whether it goes to somebody by name.
    pub(super) fn names_a_person(&self) -> bool {
        matches!(self, Write::Request { by_name: true, .. })
    }
}

/// What the sessions share, and what is done for one of them at a time.
pub(super) struct Shared<C> {
    pub(super) backend: Backend<C>,
    pub(super) whom: Whom,
    pub(super) signup_open: bool,
    pub(super) audience: Audience,
    pub(super) jobs: JoinSet<Ended>,
    pub(super) writes: HashMap<u64, Write>,
    pub(super) tickets: Tickets,
    /// Connections by who is logged in on them.
    pub(super) by_user: BTreeMap<u64, Vec<ConnId>>,
    /// When something is due on a connection: marks, or a read of what happened that is to be tried again.
    pub(super) deadlines: BTreeSet<(Instant, ConnId)>,
    pub(super) presence: Presence,
    /// The cluster, as clients were last told.
    pub(super) nodes: Vec<NodeAddress>,
    pub(super) standstill: Standstill,
    pub(super) out: Vec<Outgoing>,
}

/// An event as each codec has it, made when the first session needs it.
#[derive(Default)]
pub(super) struct Encoded {
    by_codec: BTreeMap<u8, Vec<u8>>,
}

impl Encoded {
    fn get(&mut self, codec: Codec, effect: &Effect) -> Vec<u8> {
        self.by_codec.entry(codec as u8).or_insert_with(|| encode(codec, effect, 0)).clone()
    }
}

/// One of the changes that are pushed by themselves. `device` is whose own write is marked as such.
fn encode(codec: Codec, effect: &Effect, device: u64) -> Vec<u8> {
    let id = effect.id;
    let event = match &effect.what {
        What::Message { conversation, number, sender, time_ms, text, device: by, seq } => Event::Message(Message {
            id,
            conversation: *conversation,
            number: *number,
            sender: *sender,
            time_ms: *time_ms,
            text,
            seq: if device != 0 && *by == device { *seq } else { 0 },
        }),
        What::Deleted { conversation, number } => {
            Event::Deleted(Deleted { id, conversation: *conversation, number: *number })
        }
        What::Marks { conversation, user, delivered, read } => {
            let mark = Mark { conversation: *conversation, user: *user, delivered: *delivered, read: *read };
            Event::Mark(event::Moved { id, mark })
        }
        // Everything else is read from the rows.
        _ => return Vec::new(),
    };
    answer::event(codec, event)
}

pub(super) fn told(nodes: &[NodeAddress]) -> List<Node<'_>> {
    nodes.iter().map(|node| Node { name: &node.name, address: &node.address, leader: node.leader }).collect()
}

impl<C: Cluster> Shared<C> {
    // ---- requests ----

    pub(super) fn step(&mut self, conn: ConnId, session: &mut Session, step: Step<'_>) {
        match step {
            Step::Ask { id, request } => {
                let mut spare = String::new();
                match dispatch::plan(&request, session.who(), session.secure, self.signup_open, &mut spare) {
                    Ok(plan) => self.carry_out(conn, session, id, plan),
                    Err(no) => self.answer(conn, session, id, &Err(no)),
                }
            }
            Step::Refuse { id, error } => {
                if error.code == Code::ReadOnly {
                    self.recheck(conn, session);
                }
                let retry_ms = if error.code == Code::ReadOnly { RECHECK_HINT_MS } else { error.retry_ms };
                let error = wire::chat::reply::Error { retry_ms, ..error };
                let frame = answer::reply(session.codec, id, Reply::Error(error));
                self.out.push(Outgoing::reply(conn, frame));
            }
            Step::Bye { id, error } => self.bye(conn, session, id, No::new(error.code, error.text)),
            Step::Drop => self.out.push(Outgoing::reply(conn, Vec::new())),
        }
    }

    pub(super) fn carry_out(&mut self, conn: ConnId, session: &mut Session, id: u64, plan: Plan<'_>) {
        match plan {
            Plan::Welcome => {
                let welcome = Reply::Welcome(Welcome {
                    samira: session.machine.version().unwrap_or(CHAT_VERSION),
                    cluster: &self.whom.cluster,
                    node: &self.whom.node,
                    time_ms: Clock.unix_ms(),
                    silence_ms: SILENCE_MS_MAX,
                    text_max: MESSAGE_TEXT_BYTES_MAX as u64,
                    pipeline: PIPELINE_MAX as u64,
                    nodes: told(&self.nodes),
                });
                let frame = answer::reply(session.codec, id, welcome);
                session.machine.handle_answered(id);
                let silence_max = Duration::from_millis(SILENCE_MS_MAX);
                let reply = Outgoing::reply(conn, frame).bounding_silence(silence_max).in_dialect(session.codec);
                self.out.push(reply);
            }
            Plan::Done => self.answer(conn, session, id, &Ok(answer::done())),
            Plan::Write(Numbered { seq, command, wrong, by_name }) => {
                let device = session.who().map_or(0, |who| who.device);
                let inner = named::encoded(&command, self.backend.cluster.rules());
                let handed_over = inner.and_then(|inner| {
                    let command = Command::ByDevice { device, seq, command: &inner };
                    self.submit(&command, Write::Request { conn, id, wrong, by_name })
                });
                if let Err(error) = handed_over {
                    self.answer(conn, session, id, &Err(No::from(&error)));
                }
            }
            Plan::Mark(marks) => {
                let gathered = session.marks.get_or_insert_with(|| Box::new(Gathered::default()));
                if gathered.add(id, marks) {
                    self.tend(conn, session);
                } else {
                    let no = No::from(&ProposeError::Overloaded);
                    self.answer(conn, session, id, &Err(no));
                }
            }
            Plan::Sync { cursor, limit, behind } => {
                if session.feed.ask(id, (cursor, limit), behind) {
                    self.read(conn, session, Some(id));
                } else {
                    self.answer(conn, session, id, &Err(No::new(Code::OutOfPlace, "this is being answered already")));
                }
            }
            Plan::Watch(users) => {
                self.watch(conn, session, users);
                self.answer(conn, session, id, &Ok(answer::done()));
                for &user in users.iter().filter(|&&user| self.presence.is_online(user)) {
                    let event = Event::Presence(event::Presence { user, online: true });
                    self.out.push(Outgoing::push(conn, answer::event(session.codec, event)));
                }
            }
            Plan::Job(Job::Enter { enter: Enter::Resume { .. }, .. }) if self.may_be_late(session) => {
                let no = No::new(Code::Unavailable, "this came when its sender may have left: the token is still good");
                self.answer(conn, session, id, &Err(no.clone()));
                self.end(conn, session, no);
            }
            Plan::Job(job) => {
                session.logging_out |= job.logs_out();
                self.spawn(conn, session, Some(id), job);
            }
        }
    }

    /// Whether a request may have been read so late that its client has given it up and asks elsewhere. A token that is used
    /// here and there counts as stolen.
    fn may_be_late(&self, session: &Session) -> bool {
        session.left || self.standstill.since(session.opened)
    }

    pub(super) fn submit(&mut self, command: &Command<'_>, write: Write) -> Result<(), ProposeError> {
        let ticket = self.tickets.next();
        self.backend.cluster.submit(command, Ticket::Service(ticket))?;
        self.writes.insert(ticket, write);
        Ok(())
    }

    /// Begins a job; `id` is the request it answers, none if nobody asked.
    pub(super) fn spawn(&mut self, conn: ConnId, session: &mut Session, id: Option<u64>, job: Job) {
        let mut backend = self.backend.clone();
        if let Job::Enter { enter: Enter::LogIn { .. }, .. } = job {
            backend.passwords = backend.passwords.asked_by(session.asking.insert(Arc::default()));
        }
        let run = job::run(backend, job, session.who(), (session.codec, id.unwrap_or_default()));
        self.jobs.spawn(async move { Ended { conn, id, done: run.await } });
    }

    /// Reads what happened behind a session's cursor, for a request or to push it.
    pub(super) fn read(&mut self, conn: ConnId, session: &mut Session, request: Option<u64>) {
        let job = Job::Sync { request, from: session.feed.from(), limit: session.feed.limit(request) };
        self.spawn(conn, session, request, job);
    }

    pub(super) fn recheck(&mut self, conn: ConnId, session: &mut Session) {
        if !std::mem::replace(&mut session.rechecking, true) {
            self.spawn(conn, session, None, Job::Recheck);
        }
    }

    // ---- answers ----

    pub(super) fn answer(&mut self, conn: ConnId, session: &mut Session, id: u64, answer: &Result<Reply<'_>, No>) {
        let reply = match answer {
            Ok(reply) => reply.clone(),
            Err(no) => no.reply(),
        };
        let frame = answer::reply(session.codec, id, reply);
        self.send_reply(conn, session, id, frame);
        if answer.as_ref().is_err_and(No::is_revocation) {
            self.log_out(conn, session);
        }
    }

    pub(super) fn send_reply(&mut self, conn: ConnId, session: &mut Session, id: u64, frame: Vec<u8>) {
        session.machine.handle_answered(id);
        self.out.push(Outgoing::reply(conn, frame));
        self.close_if_done(conn, session);
    }

    pub(super) fn push(&mut self, conn: ConnId, frame: Vec<u8>) {
        self.out.push(Outgoing::push(conn, frame));
    }

    /// Answers for the last time, and ends the connection once everything else is answered.
    pub(super) fn bye(&mut self, conn: ConnId, session: &mut Session, id: Option<u64>, no: No) {
        match id {
            Some(id) => self.out.push(Outgoing::reply(conn, answer::reply(session.codec, id, no.reply()))),
            None => self.out.push(Outgoing::reply(conn, Vec::new())),
        }
        self.end(conn, session, no);
    }

    /// Ends the connection once everything that is open is answered. The first reason is the one that is told.
    pub(super) fn end(&mut self, conn: ConnId, session: &mut Session, why: No) {
        self.leave(conn, session);
        session.machine.end();
        session.ending.get_or_insert_with(|| Box::new(why));
        self.close_if_done(conn, session);
    }

    fn close_if_done(&mut self, conn: ConnId, session: &mut Session) {
        if session.machine.is_done()
            && let Some(why) = &session.ending
        {
            let bye = Event::Bye(Bye { code: why.code, text: &why.text });
            self.out.push(Outgoing::push(conn, answer::event(session.codec, bye)).closing(true));
        }
    }

    // ---- who is there ----

    pub(super) fn enter(&mut self, conn: ConnId, who: Identity) {
        self.by_user.entry(who.user).or_default().push(conn);
        self.audience.enter(who.user);
        self.presence.came(who.user, Clock.monotonic());
    }

    pub(super) fn watch(&mut self, conn: ConnId, session: &mut Session, users: &[u64]) {
        self.presence.watch(conn, &session.watched, users);
        session.watched = users.into();
    }

    /// Nobody is logged in on this connection any more.
    pub(super) fn log_out(&mut self, conn: ConnId, session: &mut Session) {
        self.leave(conn, session);
        session.machine.logged_out();
        session.logging_out = false;
        session.feed = Feed::new();
        // Nobody is left whose marks these are.
        for id in session.marks.take().map(|mut marks| marks.abandon()).unwrap_or_default() {
            let no = No::new(Code::NotLoggedIn, "log in first");
            self.send_reply(conn, session, id, answer::reply(session.codec, id, no.reply()));
        }
    }

    pub(super) fn leave(&mut self, conn: ConnId, session: &mut Session) {
        let Some(user) = session.entered.take() else { return };
        if let Some(conns) = self.by_user.get_mut(&user) {
            conns.retain(|&known| known != conn);
            if conns.is_empty() {
                self.by_user.remove(&user);
            }
        }
        self.audience.leave(user);
        self.presence.left(user, Clock.monotonic());
        self.watch(conn, session, &[]);
    }

    // ---- what happens ----

    pub(super) fn effect(&mut self, conn: ConnId, session: &mut Session, effect: &Effect, encoded: &mut Encoded) {
        let Some(who) = session.who() else { return };
        if let What::DeviceRevoked { device, why, .. } = effect.what {
            if device == who.device && session.logging_out {
                // Its reply says the same, before or after this.
                self.log_out(conn, session);
            } else if device == who.device {
                self.end(conn, session, No::revoked(why));
            }
            return;
        }
        match session.feed.applied(effect) {
            Tell::Nothing => {}
            Tell::Read => self.read(conn, session, None),
            Tell::Event => {
                let own = matches!(effect.what, What::Message { device, .. } if device == who.device);
                let bytes =
                    if own { encode(session.codec, effect, who.device) } else { encoded.get(session.codec, effect) };
                self.push(conn, bytes);
            }
        }
    }

    // ---- deadlines ----

    /// Begins the write of gathered marks if one may begin, and notes when to look again.
    pub(super) fn tend(&mut self, conn: ConnId, session: &mut Session) {
        let (Some(who), Some(gathered)) = (session.who(), session.marks.as_mut()) else { return };
        let now = Clock.monotonic();
        if let Some(due) = gathered.take_due(now) {
            let command = Command::Mark { user: who.user, marks: due.marks };
            if let Err(error) = self.submit(&command, Write::Marks { conn }) {
                let no = No::from(&error);
                let ids = session.marks.as_mut().map(|marks| marks.written()).unwrap_or_default();
                for id in ids {
                    self.answer(conn, session, id, &Err(no.clone()));
                }
            }
        }
        let at = session.marks.as_ref().and_then(|marks| marks.due_at(now));
        if at.is_some() {
            self.note_deadline(conn, session, at);
        }
    }

    /// Notes when a connection has something due; the earlier of two stays.
    pub(super) fn note_deadline(&mut self, conn: ConnId, session: &mut Session, at: Option<Instant>) {
        if let Some(noted) = session.noted_deadline {
            if at.is_some_and(|at| at >= noted) {
                return;
            }
            self.deadlines.remove(&(noted, conn));
        }
        session.noted_deadline = at;
        if let Some(at) = at {
            self.deadlines.insert((at, conn));
        }
    }
}
