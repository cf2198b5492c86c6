//! The chat service: requests in, replies and events out, in two dialects.
//!
//! One task owns all client sessions. It is woken by turns of the poll thread, by outcomes of writes, by jobs that have
//! ended, by what was applied, and by deadlines of marks and typing; whatever one wake-up yields goes back to the poll
//! thread as one batch. Idle connections have no task and no timer.
//!
//! Reading order:
//!
//! * [`backend`]: what both dialects stand on.
//! * [`legacy`]: the dialect of the original's clients.
//! * [`passwords`]: Argon2id on a thread of its own.

mod backend;
mod legacy;
mod passwords;
#[cfg(test)]
mod tests;

use std::io;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wire::replication::command::Command;

use self::backend::{Backend, Cluster};
use self::passwords::Passwords;
use crate::bridge::{Event, Outgoing, Replies, Turn};
use crate::raft::propose::{Completion, ProposeError, Proposer, Ticket};
use crate::raft::read::{Freshness, Reads};
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

/// All sessions of both dialects.
struct Service<C, S> {
    legacy: legacy::Clients<C>,
    send: S,
}

/// Numbers under which one dialect waits for its writes.
#[derive(Debug)]
struct Tickets {
    next: u64,
}

impl Tickets {
    const LEGACY: Tickets = Tickets { next: 0 };

    fn next(&mut self) -> u64 {
        let ticket = self.next;
        self.next += 2;
        ticket
    }
}

impl<C: Cluster, S: Fn(Vec<Outgoing>) + Send> Service<C, S> {
    fn new(backend: Backend<C>, signup_open: bool, send: S) -> Self {
        Service { legacy: legacy::Clients::new(backend, signup_open, Tickets::LEGACY), send }
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
                Some(ended) = self.legacy.next_ended() => self.legacy.job_done(ended),
                turn = turns.recv() => match turn {
                    Some(turn) => self.turn(turn),
                    None => return,
                },
            }
            let mut batch = Vec::new();
            self.legacy.take_outgoing(&mut batch);
            (self.send)(batch);
        }
    }

    fn turn(&mut self, turn: Turn) {
        let Turn { mut bytes, events } = turn;
        for event in events {
            match event {
                Event::Opened { conn, codec, peer: _ } => self.legacy.opened(conn, codec),
                Event::Frame { conn, range } => self.legacy.frame(conn, &mut bytes[range]),
                Event::Malformed { conn, error } => self.legacy.malformed(conn, error),
                Event::Closed { conn } => self.legacy.closed(conn),
            }
        }
    }

    fn written(&mut self, Completion { ticket, result }: Completion) {
        self.legacy.written(ticket, &result);
    }
}
