//! The poll thread: readiness, turns and deadlines of all client sockets.
//!
//! One pass of [`PollLoop::turn`]: wait; note who is ready; queue the replies that came; accept; give every connection
//! with work its turn, each within a byte budget; close those whose deadline has passed; hand what was read to the service.
//! Work that did not fit is remembered in the `ready` queue, and the next wait is then no wait. Handing over blocks when
//! the service lags behind: nothing is read meanwhile, and the clients feel it as TCP backpressure.
//!
//! Deadlines are an ordered set with at most one entry per connection; its head is the poller's timeout. An idle
//! connection has none, so an idle process sleeps without any timeout.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use tokio::sync::mpsc;

use super::connection::{Connection, Io, Pumped, Why};
use super::listener::{Admission, AfterError, after_accept_error};
use super::table::Table;
use super::{Config, Shared};
use crate::bridge::{Event, Outgoing, Queue, Replies, Turn};
use crate::limits::{
    ACCEPT_PAUSE, ACCEPTS_PER_TURN, BUFFERED_BYTES_MAX, HANDSHAKES_PER_TURN, READ_BYTES_PER_TURN, TLS_RECORD_BYTES_MAX,
    TURN_BYTES_MAX,
};
use crate::listen::unmapped;

pub(super) const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);

/// Readiness events taken from the system at a time.
const EVENTS_PER_POLL: usize = 1024;

/// Everything the poll thread owns.
pub(super) struct PollLoop {
    config: Config,
    shared: Arc<Shared>,
    poll: Poll,
    /// Where events land; taken out during a turn.
    events: Events,
    /// `None` once the server stops.
    listener: Option<TcpListener>,
    /// Somebody may wait to be accepted.
    accept_ready: bool,
    /// Nobody is accepted before this.
    accept_after: Option<Instant>,
    /// The system had no room for somebody, and the log says so already.
    starved: bool,
    admission: Admission,
    table: Table,
    /// Slots of connections with work, each at most once.
    ready: VecDeque<u32>,
    deadlines: BTreeSet<(Instant, u32)>,
    scratch: Box<[u8]>,
    /// TLS handshakes that may still go on in this turn.
    handshakes_left: usize,
    /// Heap bytes held for clients.
    buffered_bytes: usize,
    turn: Turn,
    to_service: mpsc::Sender<Turn>,
    replies: Replies,
    stop_at: Option<Instant>,
}

/// Whether there will be another turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Yes.
    Continue,
    /// No: everybody has been told goodbye, or the service is gone.
    Stop,
}

impl PollLoop {
    pub(super) fn new(
        config: Config,
        shared: Arc<Shared>,
        poll: Poll,
        listener: TcpListener,
        to_service: mpsc::Sender<Turn>,
        replies: Replies,
    ) -> Self {
        Self {
            admission: Admission::new(config.plaintext, config.max_clients, shared.seats.clone()),
            config,
            shared,
            poll,
            events: Events::with_capacity(EVENTS_PER_POLL),
            listener: Some(listener),
            accept_ready: false,
            accept_after: None,
            starved: false,
            table: Table::default(),
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            scratch: vec![0; READ_BYTES_PER_TURN + TLS_RECORD_BYTES_MAX].into_boxed_slice(),
            handshakes_left: 0,
            buffered_bytes: 0,
            turn: Turn::default(),
            to_service,
            replies,
            stop_at: None,
        }
    }

    /// Runs until the handle says stop or the service is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        while self.turn()? == Flow::Continue {}
        Ok(())
    }

    /// One pass.
    ///
    /// # Errors
    /// When the poller itself fails; no client can cause that.
    pub(super) fn turn(&mut self) -> io::Result<Flow> {
        let timeout = self.timeout();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Flow::Continue),
            result => result?,
        }
        self.shared.turns.fetch_add(1, Relaxed);
        let now = self.config.clock.monotonic();
        self.note_readiness();
        self.note_stop(now);
        let Queue { outgoing, lost, .. } = self.replies.take();
        for outgoing in outgoing {
            self.deliver(outgoing, now);
        }
        for conn in lost {
            if self.table.get(conn).is_some() {
                self.part(conn.slot, Why::OutboxFull, now);
            }
        }
        self.accept(now);
        self.handshakes_left = HANDSHAKES_PER_TURN;
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else { break };
            self.serve(slot, now);
            if self.turn.bytes.len() >= TURN_BYTES_MAX && !self.hand_over() {
                return Ok(Flow::Stop);
            }
        }
        self.expire(now);
        if self.stop_at.is_some_and(|at| at <= now) {
            self.say_last_words(now);
        }
        let service_lives = self.hand_over();
        let done = self.stop_at.is_some_and(|at| at <= now || self.admission.is_deserted());
        Ok(if done || !service_lives { Flow::Stop } else { Flow::Continue })
    }

    /// How long the poller may sleep; `None` is until something happens.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let may_accept = self.accept_ready && self.accept_after.is_none();
        if !self.ready.is_empty() || may_accept {
            return Some(Duration::ZERO);
        }
        let deadlines = self.deadlines.first().map(|&(at, _)| at);
        let next = [deadlines, self.accept_after, self.stop_at].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(self.config.clock.monotonic()))
    }

    fn note_readiness(&mut self) {
        for event in &self.events {
            match event.token() {
                LISTENER => self.accept_ready = true,
                WAKER => {}
                Token(slot) => {
                    let slot = u32::try_from(slot).expect("tokens of connections are slots");
                    if let Some(connection) = self.table.at(slot)
                        && connection.handle_readiness(event)
                        && !std::mem::replace(&mut connection.scheduled, true)
                    {
                        self.ready.push_back(slot);
                    }
                }
            }
        }
    }

    fn schedule(&mut self, slot: u32) {
        if let Some(connection) = self.table.at(slot)
            && !std::mem::replace(&mut connection.scheduled, true)
        {
            self.ready.push_back(slot);
        }
    }

    fn deliver(&mut self, outgoing: Outgoing, now: Instant) {
        let stopping = self.stop_at.is_some();
        let slot = outgoing.conn.slot;
        let Some(connection) = self.table.get(outgoing.conn) else { return };
        match connection.handle_outgoing(outgoing, now, self.config.stall_timeout) {
            Ok(()) => {
                if stopping {
                    connection.drain_if_answered(now, self.config.stall_timeout);
                }
                self.schedule(slot);
            }
            Err(_) => self.part(slot, Why::OutboxFull, now),
        }
    }

    fn accept(&mut self, now: Instant) {
        if self.accept_after.is_some_and(|at| at <= now) {
            self.accept_after = None;
        }
        if !self.accept_ready || self.accept_after.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((socket, peer)) => {
                    // An address of the older protocol comes mapped into the newer one where both are served.
                    let peer = unmapped(peer);
                    let Some(standing) = self.admission.enter() else {
                        tracing::debug!(%peer, "refused without a word: too many refused connections wait already");
                        continue;
                    };
                    let id = self.table.next_id();
                    let handshake_timeout = self.config.handshake_timeout;
                    let mut connection = Connection::new(id, socket, peer, standing, now, handshake_timeout);
                    if let Err(error) = self.register(&mut connection) {
                        tracing::warn!(%peer, %error, "connection could not be registered");
                        self.admission.leave(standing);
                        continue;
                    }
                    self.table.insert(connection);
                    self.after_change(id.slot);
                }
                Err(error) => match after_accept_error(&error) {
                    AfterError::Drained => {
                        self.accept_ready = false;
                        self.starved = false;
                        return;
                    }
                    AfterError::Next => {}
                    AfterError::Pause => {
                        if !std::mem::replace(&mut self.starved, true) {
                            tracing::warn!(%error, "connections have to wait: the system has no room for them");
                        }
                        self.accept_after = Some(now + ACCEPT_PAUSE);
                        return;
                    }
                },
            }
        }
    }

    fn register(&self, connection: &mut Connection) -> io::Result<()> {
        let token = Token(connection.id().slot as usize);
        let socket = connection.socket();
        // Replies are whole messages in one write each: waiting for more to send would only delay them.
        socket.set_nodelay(true)?;
        self.poll.registry().register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    fn serve(&mut self, slot: u32, now: Instant) {
        let Some(connection) = self.table.at(slot) else { return };
        connection.scheduled = false;
        let mut io = Io {
            now,
            scratch: &mut self.scratch,
            turn: &mut self.turn,
            admission: &mut self.admission,
            stall_timeout: self.config.stall_timeout,
            tls: &self.config.tls,
            serves_http2: self.config.http2.is_some(),
            handshakes_left: &mut self.handshakes_left,
        };
        match connection.pump(&mut io) {
            Pumped::Idle => self.after_change(slot),
            Pumped::More => {
                self.after_change(slot);
                self.schedule(slot);
            }
            Pumped::Gone(why) => self.remove(slot, why),
            Pumped::Elsewhere => self.hand_on(slot),
        }
    }

    /// Brings the loop's notes on a connection up to date: its deadline, its bytes, the number of clients.
    fn after_change(&mut self, slot: u32) {
        let Some(connection) = self.table.at(slot) else { return };
        let deadline = connection.deadline();
        let noted = std::mem::replace(&mut connection.noted_deadline, deadline);
        if noted != deadline {
            if let Some(at) = noted {
                self.deadlines.remove(&(at, slot));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, slot));
            }
        }
        let bytes = connection.buffered_bytes();
        self.buffered_bytes -= std::mem::replace(&mut connection.noted_bytes, bytes);
        self.buffered_bytes += bytes;
        self.publish();
        if bytes > 0 && self.buffered_bytes > BUFFERED_BYTES_MAX {
            self.remove(slot, Why::MemoryFull);
        }
    }

    /// Gives a connection to those who serve HTTP/2.
    fn hand_on(&mut self, slot: u32) {
        let Some(connection) = self.detach(slot) else { return };
        let seat = self.admission.hand_over(connection.standing());
        let peer = connection.peer();
        let sent = self.config.http2.as_ref().map(|handover| handover.try_send(connection.into_handed_over(seat)));
        if !matches!(sent, Some(Ok(()))) {
            tracing::debug!(%peer, "closed: too many HTTP/2 connections begin at once");
        }
        self.publish();
    }

    /// Brings what others see up to date.
    fn publish(&self) {
        self.shared.clients.store(self.admission.clients(), Relaxed);
        self.shared.buffered_bytes.store(self.buffered_bytes, Relaxed);
    }

    /// Takes a connection out of the poller and the loop's notes.
    fn detach(&mut self, slot: u32) -> Option<Box<Connection>> {
        let mut connection = self.table.remove(slot)?;
        // Closing the socket deregisters it as well; an error here changes nothing.
        let _ = self.poll.registry().deregister(connection.socket());
        if let Some(at) = connection.noted_deadline {
            self.deadlines.remove(&(at, slot));
        }
        self.buffered_bytes -= connection.noted_bytes;
        Some(connection)
    }

    /// Ends a connection: at once, or when it has taken the reason, where it can be told.
    fn part(&mut self, slot: u32, why: Why, now: Instant) {
        let stall_timeout = self.config.stall_timeout;
        if self.table.at(slot).is_some_and(|connection| connection.say_why(why, now, stall_timeout)) {
            self.after_change(slot);
            self.schedule(slot);
        } else {
            self.remove(slot, why);
        }
    }

    fn remove(&mut self, slot: u32, why: Why) {
        let Some(mut connection) = self.detach(slot) else { return };
        tracing::debug!(peer = %connection.peer(), ?why, "connection closed");
        connection.farewell();
        self.admission.leave(connection.standing());
        if connection.announced() {
            self.turn.events.push(Event::Closed { conn: connection.id() });
        }
        self.publish();
        // A descriptor is free again.
        self.accept_after = None;
    }

    /// Closes the connections whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(at, slot)) = self.deadlines.first()
            && at <= now
        {
            match self.table.at(slot).map(|connection| connection.handle_deadline(now)) {
                Some(Some(why)) => self.part(slot, why, now),
                // It has a later one now.
                Some(None) => self.after_change(slot),
                // Not reachable while notes and connections agree; dropping the entry keeps this loop finite.
                None => drop(self.deadlines.pop_first()),
            }
        }
    }

    /// Sends what was read to the service, waiting for room. False when there is no service any more.
    fn hand_over(&mut self) -> bool {
        if self.turn.events.is_empty() {
            return true;
        }
        self.to_service.blocking_send(std::mem::take(&mut self.turn)).is_ok()
    }

    fn note_stop(&mut self, now: Instant) {
        if self.stop_at.is_some() {
            return;
        }
        let Some(&patience) = self.shared.stop.get() else { return };
        self.stop_at = Some(now + patience);
        self.listener = None;
        self.accept_ready = false;
        self.accept_after = None;
        for slot in self.table.slots() {
            let Some(connection) = self.table.at(slot) else { continue };
            if connection.handle_stop() {
                connection.drain_if_answered(now, self.config.stall_timeout);
                self.schedule(slot);
            } else {
                self.part(slot, Why::Stopping, now);
            }
        }
    }

    /// Nobody is waited for any longer: who is still owed something is told at least that this is the end.
    fn say_last_words(&mut self, now: Instant) {
        for slot in self.table.slots() {
            let stall_timeout = self.config.stall_timeout;
            if self.table.at(slot).is_some_and(|it| it.say_why(Why::Stopping, now, stall_timeout)) {
                self.serve(slot, now);
            }
        }
    }
}
