//! The dialect of the original's clients: JSON and SAMIRA/1, one reply to each request, in order, and nothing pushed.
//!
//! Reading order:
//!
//! * [`session`]: the order of requests and replies of one connection, and who is logged in on it.
//! * [`dispatch`]: what each action is and who may ask for it.
//! * [`job`]: requests that take their time: reads, logins, and writes that depend on a read.
//! * [`page`], [`pages`]: what the open chat pages of the original's client show, which follows from what they were sent.
//! * [`history`], [`lists`], [`room`]: what replies hold, within the bytes such a client can read.
//! * [`mod@answer`], [`reply`]: what is answered, and its bytes.
//! * [`calls`]: the same requests as calls of the original's gRPC package.
//!
//! What a client may do follows from who is logged in on its connection. The original let any connection act for
//! anybody; here a request in somebody else's name is refused in words. A successful signup also logs in, if nobody is
//! logged in yet, because the original's client goes on after it without a login. A failed login changes nothing.

pub(crate) mod answer;
pub(crate) mod calls;
mod dispatch;
pub(crate) mod history;
mod job;
mod lists;
mod page;
mod pages;
pub(crate) mod reply;
pub(crate) mod room;
mod session;
pub(crate) mod timestamp;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use wire::DecodeError;
use wire::codec::Codec;
use wire::legacy::reply::{HelloReply, Shown, Status};
use wire::legacy::{Request, text};
use wire::replication::command::{Command, Outcome, Refusal};

use self::answer::Answer;
use self::dispatch::Plan;
use self::job::{Done, Job, Update};
use self::room::Form;
use self::session::{Session, Stage, Waiting};
use super::Tickets;
use super::backend::{Backend, Cluster};
use crate::bridge::{ConnId, Outgoing};
use crate::env::Clock;
use crate::limits::SERVICE_QUEUE_BYTES_MAX;
use crate::raft::propose::{ProposeError, Ticket};

/// Characters of a client's own name that are told back to it.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// All clients of this dialect, and what they share.
pub(super) struct Clients<C> {
    sessions: HashMap<ConnId, Session>,
    shared: Shared<C>,
}

/// A job that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    conn: ConnId,
    number: u64,
    done: Done,
}

/// What a session needs while one of its requests is handled.
struct Shared<C> {
    backend: Backend<C>,
    signup_open: bool,
    jobs: JoinSet<Ended>,
    /// Who waits for which write.
    writes: HashMap<u64, (ConnId, u64)>,
    tickets: Tickets,
    /// Bytes of requests that wait, over all sessions.
    waiting_bytes: usize,
    out: Vec<Outgoing>,
}

impl<C: Cluster> Clients<C> {
    pub(super) fn new(backend: Backend<C>, signup_open: bool, tickets: Tickets) -> Self {
        let shared = Shared {
            backend,
            signup_open,
            jobs: JoinSet::new(),
            writes: HashMap::new(),
            tickets,
            waiting_bytes: 0,
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

    pub(super) fn opened(&mut self, conn: ConnId, codec: Codec) {
        self.sessions.insert(conn, Session::new(codec));
    }

    pub(super) fn frame(&mut self, conn: ConnId, frame: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.is_free() && !session.has_waiting() {
            self.shared.frame(conn, session, frame);
            self.shared.flush(conn, session);
        } else {
            let room = SERVICE_QUEUE_BYTES_MAX.saturating_sub(self.shared.waiting_bytes);
            self.shared.waiting_bytes += session.keep(frame, room);
        }
    }

    pub(super) fn malformed(&mut self, conn: ConnId, error: DecodeError) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.keep_malformed(error);
        self.shared.proceed(conn, session);
    }

    /// It sends nothing more: most who do that have left.
    pub(super) fn ended(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.asking = None;
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.remove(&conn) {
            self.shared.waiting_bytes -= session.waiting_bytes();
        }
    }

    /// A write was answered.
    pub(super) fn written(&mut self, ticket: u64, result: &Result<Outcome, ProposeError>) {
        let Some((conn, number)) = self.shared.writes.remove(&ticket) else { return };
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.writes -= 1;
        if session.writes == 0 && session.pages.any() {
            session.pages.go_on(Clock.monotonic());
        }
        if let Ok(Outcome::Refused(Refusal::NoSuchUser)) = result {
            session.change_identity(None);
        }
        session.finish(number, reply::encode(session.codec, &Answer::of_write(result)));
        self.shared.proceed(conn, session);
    }

    /// A job has ended.
    pub(super) fn job_done(&mut self, Ended { conn, number, done }: Ended) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.busy = false;
        session.asking = None;
        if done.fresh
            && let Some(who) = &mut session.who
        {
            who.read_only = false;
        }
        match done.update {
            Update::Nothing => {}
            Update::LoggedIn(who) => session.change_identity(Some(who)),
            Update::SignedUp(who) if session.who.is_none() => session.change_identity(Some(who)),
            Update::SignedUp(_) => {}
            Update::LoggedOut => session.change_identity(None),
            Update::Shown { chat, page } => session.pages.remember(&chat, page, Clock.monotonic()),
            Update::Opening { chat } => session.pages.close_page(&chat),
        }
        session.finish(number, reply::encode(session.codec, &done.answer));
        self.shared.proceed(conn, session);
    }
}

impl<C: Cluster> Shared<C> {
    /// Goes on with a session after something it waited for.
    fn proceed(&mut self, conn: ConnId, session: &mut Session) {
        if session.writes == 0
            && let Some((number, job)) = session.parked.take()
        {
            self.spawn(conn, session, number, job);
        }
        while let Some(next) = session.next() {
            match next {
                Waiting::Frame(mut frame) => {
                    self.waiting_bytes -= frame.len();
                    self.frame(conn, session, &mut frame);
                }
                Waiting::Crowded => {
                    let reply = reply::encode(session.codec, &Answer::NotNow(text::BUSY.into()));
                    answer(session, reply);
                }
                Waiting::Malformed(error) => malformed(session, error),
            }
        }
        self.flush(conn, session);
    }

    /// Begins the request in `frame`.
    fn frame(&mut self, conn: ConnId, session: &mut Session, frame: &mut [u8]) {
        match session.stage {
            Stage::Ending => {}
            Stage::Hello => hello(session, frame),
            Stage::Open => match session.codec.decode_request(frame) {
                Err(error) => malformed(session, error),
                Ok(request) => self.request(conn, session, &request),
            },
        }
    }

    fn request(&mut self, conn: ConnId, session: &mut Session, request: &Request<'_>) {
        let mut spare = String::new();
        match dispatch::plan(session.who.as_ref(), &session.pages, request, self.signup_open, &mut spare) {
            Err(said) => answer(session, reply::encode(session.codec, &Answer::Refused(said))),
            Ok(Plan::Answer(found)) => answer(session, reply::encode(session.codec, &found)),
            Ok(Plan::Write(command)) => {
                session.pages.before(&command);
                if session.who.as_ref().is_some_and(|who| who.read_only) {
                    self.begin(conn, session, job::deferred(&command));
                } else {
                    self.write(conn, session, &command);
                }
            }
            Ok(Plan::Job(job)) => self.begin(conn, session, job),
        }
    }

    fn write(&mut self, conn: ConnId, session: &mut Session, command: &Command<'_>) {
        let (ticket, number) = (self.tickets.next(), session.begin());
        match self.backend.cluster.submit(command, Ticket::Service(ticket)) {
            Ok(()) => {
                self.writes.insert(ticket, (conn, number));
                session.writes += 1;
                if session.pages.any() {
                    session.pages.wait(Clock.monotonic());
                }
            }
            Err(error) => session.finish(number, reply::encode(session.codec, &Answer::from(&error))),
        }
    }

    /// Begins a job, or lets it wait for the writes before it.
    fn begin(&mut self, conn: ConnId, session: &mut Session, job: Job) {
        let number = session.begin();
        if session.writes == 0 {
            self.spawn(conn, session, number, job);
        } else {
            session.parked = Some((number, job));
        }
    }

    fn spawn(&mut self, conn: ConnId, session: &mut Session, number: u64, mut job: Job) {
        session.busy = true;
        if let Job::Messages { chat, open } = &mut job {
            *open = session.pages.open_page(chat, Clock.monotonic());
        }
        let mut backend = self.backend.clone();
        if let Job::Login { .. } = job {
            backend.passwords = backend.passwords.asked_by(session.asking.insert(Arc::default()));
        }
        let run = backend.run(job, session.who.clone(), Form::Socket(session.codec));
        self.jobs.spawn(async move { Ended { conn, number, done: run.await } });
    }

    /// Collects the replies whose turn it is.
    fn flush(&mut self, conn: ConnId, session: &mut Session) {
        while let Some((bytes, close)) = session.ready() {
            self.out.push(Outgoing::reply(conn, bytes).closing(close));
        }
    }
}

/// Answers the first message of a connection.
fn hello(session: &mut Session, frame: &mut [u8]) {
    let codec = session.codec;
    let hello = match codec.decode_hello(frame) {
        Ok(hello) => hello,
        Err(error) => return malformed(session, error),
    };
    match hello.client_id {
        Some(id) => {
            let end = id.char_indices().nth(CLIENT_ID_CHARS_MAX).map_or(id.len(), |(end, _)| end);
            let message = Shown(text::Welcome(&id[..end]));
            session.stage = Stage::Open;
            answer(session, reply::hello(codec, &HelloReply { status: Status::Connected, message }));
        }
        None => {
            session.stage = Stage::Ending;
            let refusal = HelloReply { status: Status::Error, message: text::CLIENT_ID_REQUIRED };
            answer(session, reply::last(codec, &refusal));
        }
    }
}

/// Says what is wrong, as the last thing on this connection.
fn malformed(session: &mut Session, error: wire::DecodeError) {
    if session.stage != Stage::Ending {
        session.stage = Stage::Ending;
        answer(session, reply::malformed(session.codec, error));
    }
}

fn answer(session: &mut Session, reply: Vec<u8>) {
    let number = session.begin();
    session.finish(number, reply);
}
