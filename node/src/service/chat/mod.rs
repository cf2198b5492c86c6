//! Our own dialect: pipelined requests, replies in any order, and events that are pushed. The messages are those of
//! [`wire::chat`], and [`wire::session::server`] knows what may be asked when.
//!
//! Reading order:
//!
//! * [`dispatch`]: what is to be done about each request.
//! * [`session`]: one connection; [`shared`]: what is done for one at a time.
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
mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use tokio::task::JoinSet;
use wire::DecodeError;
use wire::chat::event::{self, Nodes};
use wire::chat::{Code, Event, FromClient, Reply};
use wire::codec::Codec;
use wire::replication::command::{Outcome, Refusal};
use wire::replication::rpc::Whisper;
use wire::session::server::{Identity, Server, Step};

use self::answer::No;
use self::feed::{Next, Tell};
use self::job::{Done, Update};
use self::presence::Presence;
use self::session::Session;
use self::shared::{Encoded, Shared, Write, told};
use super::backend::{Backend, Cluster};
use super::standstill::Standstill;
use super::{Tickets, Whom};
use crate::bridge::{ConnId, Outgoing};
use crate::chat::effect::{Applied, Audience, Effect};
use crate::chat::state::Revocation;
use crate::env::Clock;
use crate::limits::FEED_RETRY_PAUSE;
use crate::raft::propose::ProposeError;

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
    done: Done,
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
            standstill: Standstill::new(Clock.monotonic()),
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

    /// A call has begun. One that `listens` is told what happens from now on.
    pub(super) fn called(&mut self, conn: ConnId, secure: bool, who: Option<Identity>, listens: bool) {
        let mut session = Session::new(Codec::Samira2, secure);
        // As for a connection: whoever is served without TLS may send passwords, and gets no token.
        session.machine = Server::for_call(true, who);
        if let Some(who) = who.filter(|_| listens) {
            session.entered = Some(who.user);
            self.shared.enter(conn, who);
            let nodes = Event::Nodes(Nodes { nodes: told(&self.shared.nodes) });
            self.shared.push(conn, answer::event(session.codec, nodes));
        }
        self.sessions.insert(conn, session);
    }

    /// What a connection of this dialect speaks.
    pub(super) fn codec(&self, conn: ConnId) -> Option<Codec> {
        self.sessions.get(&conn).map(|session| session.codec)
    }

    /// It sends nothing more: most who do that have left.
    pub(super) fn ended(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.asking = None;
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        if let Some(mut session) = self.sessions.remove(&conn) {
            self.shared.leave(conn, &mut session);
            self.shared.note_deadline(conn, &mut session, None);
        }
    }

    /// To be called before anything that was read is looked at, and once in a while.
    pub(super) fn note_time(&mut self, now: Instant) {
        self.shared.standstill.note(now);
    }

    /// A frame has come, without what frames it; `left`: whoever sent it has ended the connection behind it.
    pub(super) fn frame(&mut self, conn: ConnId, body: &mut [u8], left: bool) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.left |= left;
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
                return self.shared.bye(conn, session, id, no);
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
            Ok(Outcome::Refused(Refusal::PeerGone { name })) if write.names_a_person() => Err(No::nobody(name)),
            Ok(outcome) => answer::of_outcome(outcome),
            Err(error) => Err(No::from(error)),
        };
        match write {
            Write::Request { conn, id, wrong, .. } => {
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
    pub(super) fn job_done(&mut self, Ended { conn, id, done }: Ended) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let Done { mut frame, update } = done;
        let (mut read_again, mut types) = (false, None);
        match update {
            Update::Nothing => {}
            Update::LoggedIn(who) => {
                session.asking = None;
                session.machine.logged_in(who);
                if session.who() == Some(who) {
                    session.entered = Some(who.user);
                    self.shared.enter(conn, who);
                }
            }
            Update::LoggedOut => self.shared.log_out(conn, session),
            Update::AccountDeleted => self.shared.end(conn, session, No::revoked(Revocation::AccountDeleted)),
            Update::Told(found) => match session.feed.found(id, &found) {
                Some(Next::Read) => read_again = true,
                Some(Next::Again) => return self.shared.read(conn, session, id),
                Some(Next::Nothing) => {}
                // Somebody else logged in meanwhile, or asked anew: only a reply is still owed.
                None if id.is_none() => frame = None,
                None => {}
            },
            Update::NotTold => {
                if session.feed.failed(id) {
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
            self.shared.read(conn, session, None);
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
                self.shared.read(conn, session, None);
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
                self.shared.read(conn, session, None);
            }
            self.shared.tend(conn, session);
        }
        self.shared.presence.due(now);
    }
}
