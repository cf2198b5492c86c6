//! The chat service, in the dialect of the original's clients: requests in, replies out.
//!
//! One task owns all client sessions. It is woken by turns of the poll thread, by outcomes of writes, and by jobs that
//! have ended; whatever one wake-up yields goes back to the poll thread as one batch. Idle connections have no task and
//! no timer.
//!
//! Reading order:
//!
//! * [`session`]: the order of requests and replies of one connection, and who is logged in on it.
//! * [`dispatch`]: what each action is and who may ask for it.
//! * [`job`]: requests that take their time: reads, logins, and writes that depend on a read.
//! * [`page`]: what an open chat page of the original's client shows, which follows from what it was sent.
//! * [`history`], [`lists`], [`reply`]: what replies hold, within the bytes such a client can read.
//! * [`passwords`]: Argon2id on a thread of its own.
//!
//! What a client may do follows from who is logged in on its connection. The original let any connection act for
//! anybody; here a request in somebody else's name is refused in words. A successful signup also logs in, if nobody is
//! logged in yet, because the original's client goes on after it without a login. A failed login changes nothing.

mod dispatch;
mod history;
mod job;
mod lists;
mod page;
mod passwords;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod timestamp;

use std::collections::HashMap;
use std::io;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use wire::chat::event::Bye;
use wire::chat::{self, Code, FromNode};
use wire::codec::Codec;
use wire::legacy::reply::{HelloReply, Shown, Status};
use wire::legacy::text;
use wire::replication::command::{Chat, Command, Outcome, Refusal};

use self::dispatch::Plan;
use self::job::{Backend, Cluster, Done, Job, Update};
use self::passwords::Passwords;
use self::session::{Session, Stage, Waiting};
use crate::bridge::{ConnId, Event, Outgoing, Replies, Turn};
use crate::env::Clock;
use crate::limits::SERVICE_QUEUE_BYTES_MAX;
use crate::raft::propose::{Completion, ProposeError, Proposer, Ticket};
use crate::raft::read::{Freshness, Reads};
use crate::storage::Queries;

/// Characters of a client's own name that are told back to it.
const CLIENT_ID_CHARS_MAX: usize = 64;

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
    /// Whether strangers may make accounts.
    pub signup_open: bool,
}

/// Starts the service as a task of the running runtime. It ends when one of its two inputs does.
///
/// # Errors
/// The thread for passwords cannot be started.
pub fn start(
    parts: Parts,
    turns: mpsc::Receiver<Turn>,
    completions: mpsc::Receiver<Vec<Completion>>,
) -> io::Result<AbortHandle> {
    let Parts { proposer, reads, queries, replies, signup_open } = parts;
    let passwords = Passwords::start()?;
    let backend = Backend { cluster: Consensus { proposer, reads }, queries, passwords };
    let service = Service::new(backend, signup_open, move |batch| replies.send(batch));
    Ok(tokio::spawn(service.run(turns, completions)).abort_handle())
}

/// The real cluster.
#[derive(Debug, Clone)]
struct Consensus {
    proposer: Proposer,
    reads: Reads,
}

impl Cluster for Consensus {
    fn submit(&self, command: &Command<'_>, ticket: Ticket) -> Result<(), ProposeError> {
        self.proposer.submit(command, ticket)
    }

    async fn barrier(&self) -> Freshness {
        self.reads.barrier().await
    }
}

/// All sessions, and what they share.
struct Service<C, S> {
    sessions: HashMap<ConnId, Session>,
    shared: Shared<C>,
    send: S,
}

/// What a session needs while one of its requests is handled.
struct Shared<C> {
    backend: Backend<C>,
    signup_open: bool,
    jobs: JoinSet<(ConnId, u64, Done)>,
    /// Who waits for which write.
    writes: HashMap<u64, (ConnId, u64)>,
    next_ticket: u64,
    /// Bytes of requests that wait, over all sessions.
    waiting_bytes: usize,
    out: Vec<Outgoing>,
}

impl<C: Cluster, S: Fn(Vec<Outgoing>) + Send> Service<C, S> {
    fn new(backend: Backend<C>, signup_open: bool, send: S) -> Self {
        let shared = Shared {
            backend,
            signup_open,
            jobs: JoinSet::new(),
            writes: HashMap::new(),
            next_ticket: 0,
            waiting_bytes: 0,
            out: Vec::new(),
        };
        Service { sessions: HashMap::new(), shared, send }
    }

    async fn run(mut self, mut turns: mpsc::Receiver<Turn>, mut completions: mpsc::Receiver<Vec<Completion>>) {
        loop {
            tokio::select! {
                // What is done first: it makes room for what is new.
                biased;
                completed = completions.recv() => match completed {
                    Some(completed) => completed.into_iter().for_each(|one| self.written(one)),
                    None => return,
                },
                Some(ended) = self.shared.jobs.join_next() => match ended {
                    Ok((conn, number, done)) => self.job_done(conn, number, done),
                    // Nothing aborts a job, so it panicked; the bug must not be swallowed.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                turn = turns.recv() => match turn {
                    Some(turn) => self.turn(turn),
                    None => return,
                },
            }
            let batch = std::mem::take(&mut self.shared.out);
            (self.send)(batch);
        }
    }

    fn turn(&mut self, turn: Turn) {
        let Turn { mut bytes, events } = turn;
        for event in events {
            match event {
                Event::Opened { conn, codec: codec @ (Codec::Json2 | Codec::Samira2), .. } => {
                    let bye = Bye { code: Code::Version, text: "This server does not speak SAMIRA/2." };
                    let mut bytes = Vec::new();
                    codec
                        .encode_frame_to_vec(&FromNode::Event(Some(chat::Event::Bye(bye))), &mut bytes)
                        .expect("a short text has a form in every codec");
                    self.shared.out.push(Outgoing::push(conn, bytes).closing(true));
                }
                Event::Opened { conn, codec, own_dialect, .. } => {
                    let mut session = Session::new(codec);
                    session.own_dialect = own_dialect;
                    self.sessions.insert(conn, session);
                }
                Event::Frame { conn, range } => {
                    let Some(session) = self.sessions.get_mut(&conn) else { continue };
                    let frame = &mut bytes[range];
                    if session.is_free() && !session.has_waiting() {
                        self.shared.frame(conn, session, frame);
                        self.shared.flush(conn, session);
                    } else {
                        let room = SERVICE_QUEUE_BYTES_MAX.saturating_sub(self.shared.waiting_bytes);
                        self.shared.waiting_bytes += session.keep(frame, room);
                    }
                }
                Event::Malformed { conn, error } => {
                    let Some(session) = self.sessions.get_mut(&conn) else { continue };
                    session.keep_malformed(error);
                    self.shared.proceed(conn, session);
                }
                Event::Closed { conn } => {
                    if let Some(session) = self.sessions.remove(&conn) {
                        self.shared.waiting_bytes -= session.waiting_bytes();
                    }
                }
            }
        }
    }

    fn written(&mut self, Completion { ticket, result }: Completion) {
        let Some((conn, number)) = self.shared.writes.remove(&ticket) else { return };
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.writes -= 1;
        if session.writes == 0 && session.has_pages() {
            session.pages_go_on(Clock.monotonic());
        }
        if let Ok(Outcome::Refused(Refusal::NoSuchUser)) = result {
            session.change_identity(None);
        }
        session.finish(number, reply::of_write(session.codec, &result));
        self.shared.proceed(conn, session);
    }

    fn job_done(&mut self, conn: ConnId, number: u64, done: Done) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.busy = false;
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
            Update::Shown { chat, page } => session.remember(&chat, page, Clock.monotonic()),
            Update::Opening { chat } => session.close_page(&chat),
        }
        session.finish(number, done.reply);
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
                    let reply = reply::refused(session.codec, text::BUSY);
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
                Ok(request) => match dispatch::plan(session, &request, self.signup_open) {
                    Err(said) => answer(session, reply::refused(session.codec, &said)),
                    Ok(Plan::Reply(reply)) => answer(session, reply),
                    Ok(Plan::Write(command)) => {
                        if let Command::DeleteMessages { chat: Chat::Id(conversation), numbers, .. } = &command {
                            session.ask_deletion(*conversation, numbers);
                        }
                        if session.who.as_ref().is_some_and(|who| who.read_only) {
                            self.begin(conn, session, job::deferred(&command));
                        } else {
                            self.write(conn, session, &command);
                        }
                    }
                    Ok(Plan::Job(job)) => self.begin(conn, session, job),
                },
            },
        }
    }

    fn write(&mut self, conn: ConnId, session: &mut Session, command: &Command<'_>) {
        let (ticket, number) = (self.next_ticket, session.begin());
        self.next_ticket += 1;
        match self.backend.cluster.submit(command, Ticket::Service(ticket)) {
            Ok(()) => {
                self.writes.insert(ticket, (conn, number));
                session.writes += 1;
                if session.has_pages() {
                    session.pages_wait(Clock.monotonic());
                }
            }
            Err(error) => session.finish(number, reply::of_write(session.codec, &Err(error))),
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
            *open = session.open_page(chat, Clock.monotonic());
        }
        let run = self.backend.clone().run(job, session.who.clone(), session.codec);
        self.jobs.spawn(async move { (conn, number, run.await) });
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
        Some(_) if session.own_dialect => {
            session.stage = Stage::Ending;
            let refusal = HelloReply { status: Status::Error, message: text::REFUSED };
            answer(session, reply::encode(codec, &refusal));
        }
        Some(id) => {
            let end = id.char_indices().nth(CLIENT_ID_CHARS_MAX).map_or(id.len(), |(end, _)| end);
            let message = Shown(text::Welcome(&id[..end]));
            session.stage = Stage::Open;
            answer(session, reply::encode(codec, &HelloReply { status: Status::Connected, message }));
        }
        None => {
            session.stage = Stage::Ending;
            let refusal = HelloReply { status: Status::Error, message: text::CLIENT_ID_REQUIRED };
            answer(session, reply::encode(codec, &refusal));
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
