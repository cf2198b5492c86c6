//! Our own dialect: pipelined requests, replies in any order, and events that are pushed. The messages are those of
//! [`wire::chat`], and [`wire::session::server`] knows what may be asked when.
//!
//! Reading order:
//!
//! * [`dispatch`]: what is to be done about each request.
//! * [`session`]: one connection.
//! * [`feed`]: what a session has been told of what happens, and how it is told the rest.
//! * [`marks`]: marks are gathered before they are written.
//! * [`presence`]: who is online and who types, over all nodes; never stored.
//! * [`job`], [`accounts`]: requests that take their time.
//! * [`render`], [`answer`]: from rows and refusals to messages.
//!
//! Writes go to the cluster in the order in which a connection sends them, each under its device's own number; see
//! [ADR 4](../../../../../docs/adr/0004-writes-exactly-once.md).

mod accounts;
mod answer;
mod dispatch;
mod feed;
mod job;
mod marks;
mod presence;
mod render;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wire::DecodeError;
use wire::chat::event::{self, Bye, Nodes};
use wire::chat::item::{Deleted, Mark, Message, Node};
use wire::chat::reply::Welcome;
use wire::chat::{Code, Event, FromClient, List, Reply};
use wire::codec::Codec;
use wire::limits::{CHAT_VERSION, MESSAGE_TEXT_BYTES_MAX, PIPELINE_MAX, SILENCE_MS_MAX};
use wire::replication::command::{Command, Outcome};
use wire::replication::rpc::Whisper;
use wire::session::server::{Identity, Step};

use self::answer::No;
use self::dispatch::Plan;
use self::feed::{Feed, Tell};
use self::job::{Done, Job, Update};
use self::marks::Gathered;
use self::presence::Presence;
use self::session::Session;
use super::backend::{Backend, Cluster, NodeAddress};
use super::{Tickets, Whom};
use crate::bridge::{ConnId, Outgoing};
use crate::chat::effect::{Applied, Audience, Effect, What};
use crate::env::Clock;
use crate::limits::{FEED_RETRY_PAUSE, RECHECK_HINT_MS};
use crate::raft::propose::{ProposeError, Ticket};

/// All clients of this dialect, and what they share.
pub(super) struct Clients<C> {
    sessions: HashMap<ConnId, Session>,
    shared: Shared<C>,
}

/// A job that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    conn: ConnId,
    /// The request it answers; none if nobody asked.
    id: Option<u64>,
    /// For a read of what happened: the request it was made for.
    told_for: Option<Option<u64>>,
    done: Done,
}

/// Who waits for a write, and for what.
#[derive(Debug)]
enum Write {
    /// A request of a client; `wrong` is what it is told whatever comes of it.
    Request { conn: ConnId, id: u64, wrong: Option<No> },
    /// Gathered marks.
    Marks { conn: ConnId },
}

struct Shared<C> {
    backend: Backend<C>,
    whom: Whom,
    signup_open: bool,
    audience: Audience,
    jobs: JoinSet<Ended>,
    writes: HashMap<u64, Write>,
    tickets: Tickets,
    /// Connections by who is logged in on them.
    by_user: BTreeMap<u64, Vec<ConnId>>,
    /// When something is due on a connection: marks, or a read of what happened that is to be tried again.
    deadlines: BTreeSet<(Instant, ConnId)>,
    presence: Presence,
    /// The cluster, as clients were last told.
    nodes: Vec<NodeAddress>,
    out: Vec<Outgoing>,
}

impl<C: Cluster> Clients<C> {
    pub(super) fn new(backend: Backend<C>, whom: Whom, signup_open: bool, audience: Audience) -> Self {
        let nodes = backend.cluster.nodes();
        let shared = Shared {
            backend,
            whom,
            signup_open,
            audience,
            jobs: JoinSet::new(),
            writes: HashMap::new(),
            tickets: Tickets::CHAT,
            by_user: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            presence: Presence::default(),
            nodes,
            out: Vec::new(),
        };
        Clients { sessions: HashMap::new(), shared }
    }

    /// What has to be sent.
    pub(super) fn take_outgoing(&mut self, out: &mut Vec<Outgoing>) {
        out.append(&mut self.shared.out);
    }

    /// The next job that ends; `None` while none is under way.
    pub(super) async fn next_ended(&mut self) -> Option<Ended> {
        // Nothing aborts a job, so one that failed has panicked; the bug must not be swallowed.
        let ended = self.shared.jobs.join_next().await?;
        Some(ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
    }

    // ---- connections ----

    pub(super) fn opened(&mut self, conn: ConnId, codec: Codec, secure: bool) {
        self.sessions.insert(conn, Session::new(codec, secure));
    }

    /// What a connection of this dialect speaks.
    pub(super) fn codec(&self, conn: ConnId) -> Option<Codec> {
        self.sessions.get(&conn).map(|session| session.codec)
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        if let Some(mut session) = self.sessions.remove(&conn) {
            self.shared.leave(conn, &mut session);
            self.shared.note_deadline(conn, &mut session, None);
        }
    }

    /// A frame has come, without what frames it.
    pub(super) fn frame(&mut self, conn: ConnId, body: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        match session.codec.decode::<FromClient<'_>>(body) {
            Ok(frame) => {
                let step = session.machine.handle_frame(frame);
                self.shared.step(conn, session, step);
            }
            Err(error) => self.malformed(conn, error),
        }
    }

    pub(super) fn malformed(&mut self, conn: ConnId, error: DecodeError) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let step = match session.machine.handle_malformed() {
            Step::Bye { id, .. } => {
                // Where it went wrong, and how, helps whoever writes a client.
                let text = error.to_string();
                let no = No::new(Code::Malformed, text);
                return self.shared.bye(conn, session, id, &no);
            }
            step => step,
        };
        self.shared.step(conn, session, step);
    }

    // ---- what was under way ----

    /// A write was answered.
    pub(super) fn written(&mut self, ticket: u64, result: &Result<Outcome, ProposeError>) {
        let Some(write) = self.shared.writes.remove(&ticket) else { return };
        let answer = match result {
            Ok(outcome) => answer::of_outcome(outcome),
            Err(error) => Err(No::from(error)),
        };
        match write {
            Write::Request { conn, id, wrong } => {
                let Some(session) = self.sessions.get_mut(&conn) else { return };
                // What was found wrong before is told once its number is used up, and not if that has failed.
                let answer = match (answer, wrong) {
                    (Err(no), Some(wrong)) if no.code == Code::Malformed => Err(wrong),
                    (answer, _) => answer,
                };
                self.shared.answer(conn, session, id, &answer);
            }
            Write::Marks { conn } => {
                let Some(session) = self.sessions.get_mut(&conn) else { return };
                let ids = session.marks.as_mut().map(|marks| marks.written()).unwrap_or_default();
                for id in ids {
                    self.shared.answer(conn, session, id, &answer);
                }
                self.shared.tend(conn, session);
            }
        }
    }

    /// A job has ended.
    pub(super) fn job_done(&mut self, Ended { conn, id, told_for, done }: Ended) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let Done { mut frame, update } = done;
        let (mut read_again, mut types) = (false, None);
        match update {
            Update::Nothing => {}
            Update::LoggedIn(who) => {
                session.machine.logged_in(who);
                if session.who() == Some(who) {
                    session.entered = Some(who.user);
                    self.shared.enter(conn, who);
                }
            }
            Update::LoggedOut => self.shared.log_out(conn, session),
            Update::Told(found) => match told_for.and_then(|request| session.feed.found(request, &found)) {
                Some(Tell::Read) => read_again = true,
                Some(_) => {}
                // Somebody else logged in meanwhile, or asked anew: only a reply is still owed.
                None if id.is_none() => frame = None,
                None => {}
            },
            Update::NotTold => {
                if told_for.is_some_and(|request| session.feed.failed(request)) {
                    let at = Clock.monotonic() + FEED_RETRY_PAUSE;
                    self.shared.note_deadline(conn, session, Some(at));
                }
            }
            Update::HandedOver { conversation, change, more, left, shown } => {
                let more = session.feed.handed_over(conversation, change, left) || more;
                if let Some(id) = id {
                    frame = Some(answer::reply(session.codec, id, Reply::Messages(shown.told(more, left))));
                }
            }
            Update::Types { conversation, on, audience } => {
                types = session.who().map(|who| Whisper::Typing { conversation, user: who.user, on, audience });
            }
            Update::Rechecked { writable } => {
                session.rechecking = false;
                if writable {
                    session.machine.majority_is_back();
                }
            }
        }
        if let Some(frame) = frame {
            match id {
                Some(id) => self.shared.send_reply(conn, session, id, frame),
                None => self.shared.push(conn, frame),
            }
        } else if let Some(id) = id {
            session.machine.handle_answered(id);
        }
        if read_again {
            self.shared.read(conn, session, None, 0);
        }
        if let Some(whisper) = types {
            self.heard_typing(&whisper);
            self.shared.presence.whisper(whisper);
        }
    }

    // ---- what happens ----

    /// What was applied.
    pub(super) fn applied(&mut self, applied: &Applied) {
        match applied {
            Applied::Effects(effects) => self.effects(effects),
            Applied::Missed(users) => {
                for user in users {
                    self.missed(|who| who.user == *user);
                }
            }
            Applied::Replaced => self.missed(|_| true),
        }
    }

    fn effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            let mut encoded = Encoded::default();
            for user in effect.audience.iter() {
                for conn in self.shared.by_user.get(user).cloned().unwrap_or_default() {
                    if let Some(session) = self.sessions.get_mut(&conn) {
                        self.shared.effect(conn, session, effect, &mut encoded);
                    }
                }
            }
        }
    }

    /// Something was applied of which these were not told.
    pub(super) fn missed(&mut self, whom: impl Fn(Identity) -> bool) {
        for (&conn, session) in &mut self.sessions {
            if session.who().is_some_and(&whom) && session.feed.missed() == Tell::Read {
                self.shared.read(conn, session, None, 0);
            }
        }
    }

    /// Another node says something in passing.
    pub(super) fn heard(&mut self, node: u64, whispers: &[Whisper]) {
        let now = Clock.monotonic();
        for whisper in whispers {
            self.shared.presence.heard(node, whisper, now);
            self.heard_typing(whisper);
        }
        self.tell_presence();
    }

    /// Tells the clients here that somebody types, anywhere.
    fn heard_typing(&mut self, whisper: &Whisper) {
        let Whisper::Typing { conversation, user, on, audience } = whisper else { return };
        let typing = event::Typing { conversation: *conversation, user: *user, on: *on };
        for other in audience.iter().filter(|other| *other != user) {
            for conn in self.shared.by_user.get(other).into_iter().flatten() {
                if let Some(session) = self.sessions.get(conn) {
                    let frame = answer::event(session.codec, Event::Typing(typing.clone()));
                    self.shared.out.push(Outgoing::push(*conn, frame));
                }
            }
        }
    }

    /// Tells those who watch who came and went.
    fn tell_presence(&mut self) {
        for presence::Change { user, online } in self.shared.presence.take_changes() {
            for conn in self.shared.presence.watchers(user) {
                if let Some(session) = self.sessions.get(&conn) {
                    let event = Event::Presence(event::Presence { user, online });
                    self.shared.out.push(Outgoing::push(conn, answer::event(session.codec, event)));
                }
            }
        }
    }

    /// What the other nodes have to be told.
    pub(super) fn take_whispers(&mut self) -> Vec<Whisper> {
        self.tell_presence();
        self.shared.presence.take_whispers()
    }

    /// The cluster's members or its leader may have changed.
    pub(super) fn cluster_changed(&mut self) {
        let nodes = self.shared.backend.cluster.nodes();
        if nodes == self.shared.nodes {
            return;
        }
        self.shared.nodes = nodes;
        let event = |codec| answer::event(codec, Event::Nodes(Nodes { nodes: told(&self.shared.nodes) }));
        let mut encoded = BTreeMap::new();
        for (&conn, session) in &self.sessions {
            if session.machine.version().is_some() && !session.machine.is_ending() {
                let bytes = encoded.entry(session.codec as u8).or_insert_with(|| event(session.codec)).clone();
                self.shared.out.push(Outgoing::push(conn, bytes));
            }
        }
    }

    /// When [`Clients::due`] has something to do, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let sessions = self.shared.deadlines.first().map(|&(at, _)| at);
        [sessions, self.shared.presence.deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn due(&mut self, now: Instant) {
        while let Some(&(at, conn)) = self.shared.deadlines.first()
            && at <= now
        {
            self.shared.deadlines.pop_first();
            let Some(session) = self.sessions.get_mut(&conn) else { continue };
            session.noted_deadline = None;
            if session.feed.retry() {
                self.shared.read(conn, session, None, 0);
            }
            self.shared.tend(conn, session);
        }
        self.shared.presence.due(now);
    }
}

/// An event as each codec has it, made when the first session needs it.
#[derive(Default)]
struct Encoded {
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

fn told(nodes: &[NodeAddress]) -> List<Node<'_>> {
    nodes.iter().map(|node| Node { name: &node.name, address: &node.address, leader: node.leader }).collect()
}

impl<C: Cluster> Shared<C> {
    // ---- requests ----

    fn step(&mut self, conn: ConnId, session: &mut Session, step: Step<'_>) {
        match step {
            Step::Ask { id, request } => {
                match dispatch::plan(&request, session.who(), session.secure, self.signup_open) {
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
            Step::Bye { id, error } => self.bye(conn, session, id, &No::new(error.code, error.text)),
            Step::Drop => self.out.push(Outgoing::reply(conn, Vec::new())),
        }
    }

    fn carry_out(&mut self, conn: ConnId, session: &mut Session, id: u64, plan: Plan<'_>) {
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
                self.out.push(Outgoing::reply(conn, frame).bounding_silence(silence_max));
            }
            Plan::Done => self.answer(conn, session, id, &Ok(answer::done())),
            Plan::Write { seq, command, wrong } => {
                let device = session.who().map_or(0, |who| who.device);
                let inner = postcard::to_allocvec(&command).expect("commands always encode into a growing buffer");
                let command = Command::ByDevice { device, seq, command: &inner };
                if let Err(error) = self.submit(&command, Write::Request { conn, id, wrong }) {
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
                if session.feed.ask(id, cursor, behind) {
                    self.read(conn, session, Some(id), limit);
                } else {
                    self.answer(conn, session, id, &Err(No::new(Code::OutOfPlace, "this is being answered already")));
                }
            }
            Plan::Typing { conversation, on } => {
                self.spawn(conn, session, Some(id), None, Job::Typing { conversation, on });
            }
            Plan::Watch(users) => {
                self.watch(conn, session, users);
                self.answer(conn, session, id, &Ok(answer::done()));
                for &user in users.iter().filter(|&&user| self.presence.is_online(user)) {
                    let event = Event::Presence(event::Presence { user, online: true });
                    self.out.push(Outgoing::push(conn, answer::event(session.codec, event)));
                }
            }
            Plan::Job(job) => {
                session.logging_out |= job.logs_out();
                self.spawn(conn, session, Some(id), None, job);
            }
        }
    }

    fn submit(&mut self, command: &Command<'_>, write: Write) -> Result<(), ProposeError> {
        let ticket = self.tickets.next();
        self.backend.cluster.submit(command, Ticket::Service(ticket))?;
        self.writes.insert(ticket, write);
        Ok(())
    }

    fn spawn(&mut self, conn: ConnId, session: &Session, id: Option<u64>, told_for: Option<Option<u64>>, job: Job) {
        let run = job::run(self.backend.clone(), job, session.who(), (session.codec, id.unwrap_or_default()));
        self.jobs.spawn(async move { Ended { conn, id, told_for, done: run.await } });
    }

    /// Reads what happened behind a session's cursor, for a request or to push it.
    fn read(&mut self, conn: ConnId, session: &Session, request: Option<u64>, limit: u64) {
        let job = Job::Sync { request, from: session.feed.from(), limit };
        self.spawn(conn, session, request, Some(request), job);
    }

    fn recheck(&mut self, conn: ConnId, session: &mut Session) {
        if !std::mem::replace(&mut session.rechecking, true) {
            self.spawn(conn, session, None, None, Job::Recheck);
        }
    }

    // ---- answers ----

    fn answer(&mut self, conn: ConnId, session: &mut Session, id: u64, answer: &Result<Reply<'_>, No>) {
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

    fn send_reply(&mut self, conn: ConnId, session: &mut Session, id: u64, frame: Vec<u8>) {
        session.machine.handle_answered(id);
        self.out.push(Outgoing::reply(conn, frame));
        self.close_if_done(conn, session, &No::new(Code::Revoked, "this device was logged out"));
    }

    fn push(&mut self, conn: ConnId, frame: Vec<u8>) {
        self.out.push(Outgoing::push(conn, frame));
    }

    /// Answers for the last time, and ends the connection once everything else is answered.
    fn bye(&mut self, conn: ConnId, session: &mut Session, id: Option<u64>, no: &No) {
        self.leave(conn, session);
        session.machine.end();
        match id {
            Some(id) => self.out.push(Outgoing::reply(conn, answer::reply(session.codec, id, no.reply()))),
            None => self.out.push(Outgoing::reply(conn, Vec::new())),
        }
        self.close_if_done(conn, session, no);
    }

    fn close_if_done(&mut self, conn: ConnId, session: &mut Session, why: &No) {
        if session.machine.is_done() {
            let bye = Event::Bye(Bye { code: why.code, text: &why.text });
            self.out.push(Outgoing::push(conn, answer::event(session.codec, bye)).closing(true));
        }
    }

    // ---- who is there ----

    fn enter(&mut self, conn: ConnId, who: Identity) {
        self.by_user.entry(who.user).or_default().push(conn);
        self.audience.enter(who.user);
        self.presence.came(who.user, Clock.monotonic());
    }

    fn watch(&mut self, conn: ConnId, session: &mut Session, users: &[u64]) {
        self.presence.watch(conn, &session.watched, users);
        session.watched = users.into();
    }

    /// Nobody is logged in on this connection any more.
    fn log_out(&mut self, conn: ConnId, session: &mut Session) {
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

    fn leave(&mut self, conn: ConnId, session: &mut Session) {
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

    fn effect(&mut self, conn: ConnId, session: &mut Session, effect: &Effect, encoded: &mut Encoded) {
        let Some(who) = session.who() else { return };
        if let What::DeviceRevoked { device, .. } = effect.what {
            if device == who.device && session.logging_out {
                // Its reply says the same, before or after this.
                self.log_out(conn, session);
            } else if device == who.device {
                self.leave(conn, session);
                session.machine.end();
                self.close_if_done(conn, session, &No::new(Code::Revoked, "this device was logged out"));
            }
            return;
        }
        match session.feed.applied(effect) {
            Tell::Nothing => {}
            Tell::Read => self.read(conn, session, None, 0),
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
    fn tend(&mut self, conn: ConnId, session: &mut Session) {
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
    fn note_deadline(&mut self, conn: ConnId, session: &mut Session, at: Option<Instant>) {
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
