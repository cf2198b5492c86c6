//! One client connection: socket, TLS, splitter, input and output. Pumps bytes; knows nothing of what they mean.
//!
//! ```text
//! Sniffing ──first bytes──▶ Open ──bad bytes──▶ Answering
//!    │ refused                │ a reply says close    │ a reply says close
//!    ▼                        ▼                       ▼
//! Draining ◀──────────────────┴───────────────────────┘
//!    │ everything is out: our side is shut
//!    ▼
//! Lingering ──end of input, or a second──▶ gone
//! ```
//!
//! A connection that begins with HTTP/2, or with TLS that offers it, is handed on as it is (`Pumped::Elsewhere`), with what
//! was read from it. A node that watches this one goes from Sniffing to Watching and stays there, silent, until either side
//! ends. TLS lies beneath all this: a connection that begins with it is still Sniffing until its handshake is done and the
//! first bytes inside have told who it is. A failed handshake goes to Draining behind its alert.
//!
//! Invariants: an idle connection holds no buffer; `input` holds at most one incomplete frame, or what one turn has read
//! behind a full pipeline; readiness seen but not used up stays noted in `readable` and `writable`, because the poller
//! reports each edge once.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event as Readiness;
use mio::net::TcpStream;
use wire::DecodeError;
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::samira2::PREFACE;

use super::deadlines::Deadlines;
use super::listener::{Admission, Standing};
use super::outbox::{Outbox, Overflow};
use super::refusal::Farewell;
use super::sniff::{Layer, Sniffed, sniff};
use super::tls::{Tls, wants_http2};
use crate::bridge::{ConnId, Event, HandedOver, Kind, Outgoing, Seat, Security, Turn};
use crate::limits::{
    BYE_PATIENCE, FRAME_TIMEOUT, LINGER, OUTBOX_BYTES_PAUSE, OUTBOX_PUSH_BYTES_MAX, PIPELINE_FRAMES_MAX,
    PIPELINE_FRAMES_RESUME, READ_BYTES_PER_TURN, TLS_RECORD_BYTES_MAX,
};

/// What a connection works with while it has its turn.
pub(super) struct Io<'a> {
    /// Now.
    pub(super) now: Instant,
    /// Where reads land first, shared by all connections.
    pub(super) scratch: &'a mut [u8],
    /// Where frames and events go.
    pub(super) turn: &'a mut Turn,
    /// Who may be served.
    pub(super) admission: &'a mut Admission,
    /// How long a client may leave its replies lying.
    pub(super) stall_timeout: Duration,
    /// What TLS connections are made with.
    pub(super) tls: &'a Arc<rustls::ServerConfig>,
    /// Whether there is somebody who serves HTTP/2.
    pub(super) serves_http2: bool,
    /// Handshakes that may still go on in this turn of the loop.
    pub(super) handshakes_left: &'a mut usize,
}

/// What a turn left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing to do until something happens.
    Idle,
    /// The byte budget ran out before the work did.
    More,
    /// To be removed, and why.
    Gone(Why),
    /// It speaks HTTP/2: others serve it, see [`Connection::into_handed_over`].
    Elsewhere,
}

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Why {
    /// The client is done.
    EndOfInput,
    /// The client reset the connection, or the network did.
    Reset,
    /// Its first byte is nobody's.
    Unrecognised,
    /// TLS cannot be set up; no client can cause that.
    Tls,
    /// We said goodbye.
    Finished,
    /// More waits for it than may.
    OutboxFull,
    /// No whole first frame in time.
    HandshakeTimeout,
    /// A frame did not become whole in time.
    FrameTimeout,
    /// It did not take its replies.
    Stalled,
    /// It said nothing for longer than its dialect allows.
    Silent,
    /// All clients together hold too many bytes.
    MemoryFull,
    /// The server stops.
    Stopping,
    /// Others serve it.
    HandedOver,
}

#[derive(Debug)]
enum Phase {
    Sniffing,
    Open(Splitter),
    /// A node waits for this connection to break; what it sends is thrown away.
    Watching,
    /// Nothing more is read; the service answers what is wrong and closes.
    Answering,
    /// Nothing more is read; closed once the outbox is empty.
    Draining,
    /// Our side is shut; what still arrives is thrown away, so that the last reply is not destroyed by a reset.
    Lingering,
}

#[derive(Debug)]
pub(super) struct Connection {
    id: ConnId,
    socket: TcpStream,
    peer: SocketAddr,
    standing: Standing,
    phase: Phase,
    tls: Option<Box<Tls>>,
    /// Bytes read (and decrypted) and not yet handed on. Empty means unallocated.
    input: Vec<u8>,
    /// `input` may begin with whole frames: the pipeline was full when they were read.
    input_ready: bool,
    outbox: Outbox,
    /// Frames handed to the service and not answered.
    unanswered: usize,
    /// Too much waits; nothing is read.
    paused: bool,
    readable: bool,
    writable: bool,
    /// Nothing more comes: the end of the stream, or its TLS has said so.
    read_closed: bool,
    /// The service knows that.
    end_told: bool,
    reset: bool,
    /// The service knows it.
    announced: bool,
    /// The loop has it in its ready queue.
    pub(super) scheduled: bool,
    /// The deadline the loop has noted for it.
    pub(super) noted_deadline: Option<Instant>,
    /// Heap bytes the loop has counted for it.
    pub(super) noted_bytes: usize,
    deadlines: Deadlines,
    /// When something was last read.
    heard: Instant,
    /// How long it may say nothing; `None` for as long as it likes.
    silence_max: Option<Duration>,
    /// The codec in which it is told why it ends; none for dialects that have no word for it.
    dialect: Option<Codec>,
    /// What protects it, once it is known that others will serve it.
    leaves: Option<Security>,
}

impl Connection {
    /// A connection just accepted and registered.
    pub(super) fn new(
        id: ConnId,
        socket: TcpStream,
        peer: SocketAddr,
        standing: Standing,
        now: Instant,
        handshake_timeout: Duration,
    ) -> Self {
        Self {
            id,
            socket,
            peer,
            standing,
            phase: Phase::Sniffing,
            tls: None,
            input: Vec::new(),
            input_ready: false,
            outbox: Outbox::default(),
            unanswered: 0,
            paused: false,
            readable: false,
            writable: true,
            read_closed: false,
            end_told: false,
            reset: false,
            announced: false,
            scheduled: false,
            noted_deadline: None,
            noted_bytes: 0,
            deadlines: Deadlines { handshake: Some(now + handshake_timeout), ..Deadlines::default() },
            heard: now,
            silence_max: None,
            dialect: None,
            leaves: None,
        }
    }

    /// What goes to those who serve it: the socket and what was read from it.
    pub(super) fn into_handed_over(self, seat: Seat) -> HandedOver {
        let refused = match self.standing {
            Standing::Refused(refusal) => Some(refusal.text()),
            Standing::Client | Standing::Watcher => None,
        };
        let secure = self.leaves.unwrap_or(Security::Plain);
        HandedOver { socket: self.socket.into(), peer: self.peer, read: self.input, secure, refused, seat }
    }

    pub(super) fn id(&self) -> ConnId {
        self.id
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether the service was told of it and has to hear of its end.
    pub(super) fn announced(&self) -> bool {
        self.announced
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Bytes held for it on the heap.
    pub(super) fn buffered_bytes(&self) -> usize {
        let records = self.tls.as_ref().map_or(0, |tls| tls.buffered_bytes());
        records + self.input.capacity() + self.outbox.bytes()
    }

    /// Whether requests wait for their replies, or replies for the client.
    pub(super) fn is_busy(&self) -> bool {
        self.unanswered > 0 || !self.outbox.is_empty()
    }

    /// Notes what the poller saw. True when there is something to do.
    pub(super) fn handle_readiness(&mut self, event: &Readiness) -> bool {
        self.readable |= event.is_readable() || event.is_read_closed();
        self.writable |= event.is_writable();
        self.reset |= event.is_error() || event.is_write_closed();
        self.reset || event.is_readable() || event.is_read_closed() || !self.outbox.is_empty()
    }

    /// Queues what the service says. What comes for a connection that is already ending is dropped.
    ///
    /// # Errors
    /// [`Overflow`] when the client has left too much lying; it is to be removed.
    pub(super) fn handle_outgoing(
        &mut self,
        outgoing: Outgoing,
        now: Instant,
        stall_timeout: Duration,
    ) -> Result<(), Overflow> {
        if matches!(self.phase, Phase::Draining | Phase::Lingering) {
            return Ok(());
        }
        match outgoing.kind {
            Kind::Reply => self.unanswered = self.unanswered.saturating_sub(1),
            Kind::Push if self.outbox.bytes() + outgoing.bytes.len() > OUTBOX_PUSH_BYTES_MAX => return Err(Overflow),
            Kind::Push => {}
        }
        if let Some(silence_max) = outgoing.silence_max {
            self.silence_max = Some(silence_max);
            self.deadlines.silence = Some(now + silence_max);
        }
        self.dialect = outgoing.dialect.or(self.dialect);
        self.queue(outgoing.bytes, now, stall_timeout)?;
        if outgoing.close {
            self.drain();
        }
        Ok(())
    }

    /// The server stops: nothing more is read, what was read is still answered. False when nothing is owed to it.
    pub(super) fn handle_stop(&mut self) -> bool {
        match self.phase {
            Phase::Sniffing => false,
            // The others shall see the end when it comes: until the last client is gone this node goes on leading.
            Phase::Watching => true,
            Phase::Open(_) if self.is_busy() => {
                self.phase = Phase::Answering;
                self.forget_input();
                true
            }
            Phase::Open(_) => false,
            Phase::Answering | Phase::Draining | Phase::Lingering => true,
        }
    }

    /// The server stops: closes behind the last reply once the service owes nothing.
    pub(super) fn drain_if_answered(&mut self, now: Instant, stall_timeout: Duration) {
        let answered = self.unanswered == 0 && matches!(self.phase, Phase::Answering);
        if answered && !self.say_why(Why::Stopping, now, stall_timeout) {
            self.drain();
        }
    }

    /// Tells a client why its connection ends, behind what waits for it, and lets it drain for a moment. False when there
    /// is no way to say it: the connection is to be removed.
    pub(super) fn say_why(&mut self, why: Why, now: Instant, stall_timeout: Duration) -> bool {
        let (Some(codec), Some(farewell)) = (self.dialect, Farewell::of(why)) else { return false };
        if matches!(self.phase, Phase::Draining | Phase::Lingering)
            || self.queue(farewell.encode(codec), now, stall_timeout).is_err()
        {
            return false;
        }
        self.drain();
        self.deadlines.linger = Some(now + BYE_PATIENCE);
        true
    }

    /// When it wants to be looked at although nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// One of its deadlines may have passed: whether it is to be removed, and why.
    ///
    /// The deadline for silence is not moved with every byte that comes, which would cost two changes of the loop's set
    /// each. It is compared with the time of the last byte when it has passed, and set anew from there.
    pub(super) fn handle_deadline(&mut self, now: Instant) -> Option<Why> {
        let why = self.deadlines.passed(now)?;
        if why == Why::Silent
            && let Some(silence_max) = self.silence_max
        {
            // While nothing is read it is us who do not listen.
            let heard = if self.paused { now } else { self.heard };
            if heard + silence_max > now {
                self.deadlines.silence = Some(heard + silence_max);
                return None;
            }
        }
        Some(why)
    }

    /// About to be closed: tells a client inside TLS that this is the end and no attacker's cut, if that can be said
    /// without waiting.
    pub(super) fn farewell(&mut self) {
        if let Some(tls) = &mut self.tls
            && self.outbox.is_empty()
        {
            // Nobody is left to whom an error would matter.
            let _ = self.socket.write(&tls.close());
        }
    }

    /// Moves bytes until nothing moves any more or the budget is used up.
    pub(super) fn pump(&mut self, io: &mut Io<'_>) -> Pumped {
        if self.reset {
            return Pumped::Gone(Why::Reset);
        }
        let more = match self.pump_both(io) {
            Ok(more) => more,
            Err(Why::HandedOver) => return Pumped::Elsewhere,
            Err(why) => return Pumped::Gone(why),
        };
        if matches!(self.phase, Phase::Draining) && self.outbox.is_empty() {
            if self.read_closed || self.socket.shutdown(Shutdown::Write).is_err() {
                return Pumped::Gone(Why::Finished);
            }
            self.phase = Phase::Lingering;
            self.deadlines.linger = Some(io.now + LINGER);
            return Pumped::More;
        }
        if self.read_closed {
            match self.phase {
                Phase::Lingering => return Pumped::Gone(Why::Finished),
                Phase::Sniffing | Phase::Watching => return Pumped::Gone(Why::EndOfInput),
                // A client that has shut its sending side still gets what it asked for.
                Phase::Open(_) if !self.is_busy() && !more => return Pumped::Gone(Why::EndOfInput),
                _ if !more && self.announced && !std::mem::replace(&mut self.end_told, true) => {
                    io.turn.events.push(Event::Ended { conn: self.id });
                }
                _ => {}
            }
        }
        if more { Pumped::More } else { Pumped::Idle }
    }

    fn pump_both(&mut self, io: &mut Io<'_>) -> Result<bool, Why> {
        self.flush(io)?;
        let more = self.read(io)?;
        self.flush(io)?;
        Ok(more)
    }

    fn flush(&mut self, io: &Io<'_>) -> Result<(), Why> {
        if !self.writable || self.outbox.is_empty() {
            return Ok(());
        }
        let flushed = self.outbox.flush(&mut self.socket).map_err(|_| Why::Reset)?;
        self.writable = !flushed.blocked;
        if self.outbox.is_empty() {
            self.deadlines.taken = None;
        } else if flushed.written > 0 {
            self.deadlines.taken = Some(io.now + io.stall_timeout);
        }
        Ok(())
    }

    /// Reads until the socket is empty, the client has to wait, or the budget is used up (then true).
    fn read(&mut self, io: &mut Io<'_>) -> Result<bool, Why> {
        self.update_pause();
        if self.input_ready && !self.paused {
            self.ingest(&[], io)?;
        }
        let result = self.read_socket(io);
        self.update_frame_deadline(io.now);
        result
    }

    fn read_socket(&mut self, io: &mut Io<'_>) -> Result<bool, Why> {
        let mut budget = READ_BYTES_PER_TURN;
        loop {
            self.update_pause();
            let deaf = self.paused || self.read_closed || matches!(self.phase, Phase::Answering | Phase::Draining);
            if deaf || !self.readable {
                return Ok(false);
            }
            // Who has not said anything yet may be about to ask for a handshake.
            let must_wait = *io.handshakes_left == 0 && matches!(self.phase, Phase::Sniffing);
            if budget == 0 || must_wait {
                return Ok(true);
            }
            // Room for the beginning of a record, so that it becomes whole in one piece.
            let held = self.tls.as_ref().map_or(0, |tls| tls.pending_len());
            match self.socket.read(&mut io.scratch[held..]) {
                Ok(0) => {
                    self.read_closed = true;
                    self.readable = false;
                }
                Ok(count) => {
                    self.heard = io.now;
                    budget = budget.saturating_sub(count);
                    // Taken out so that the connection may look at it and at the rest of `io`; put back below.
                    let scratch = std::mem::take(&mut io.scratch);
                    let result = self.take_in(&mut scratch[..held + count], io);
                    io.scratch = scratch;
                    result?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Why::Reset),
            }
        }
    }

    /// Takes in bytes as they came from the socket, behind the room for what TLS holds.
    fn take_in(&mut self, bytes: &mut [u8], io: &mut Io<'_>) -> Result<(), Why> {
        if matches!(self.phase, Phase::Watching | Phase::Lingering) {
            return Ok(());
        }
        let first = if self.input.is_empty() { &*bytes } else { &self.input };
        let begins_tls =
            matches!(self.phase, Phase::Sniffing) && self.tls.is_none() && sniff(first, Layer::Outside) == Sniffed::Tls;
        if !begins_tls {
            return self.take_in_records(bytes, io);
        }
        // Whose TLS it is, its first message tells.
        self.input.extend_from_slice(bytes);
        match wants_http2(&self.input, &io.tls.alpn_protocols) {
            Some(true) if io.serves_http2 => self.leave(Security::Tls, io),
            None if self.input.len() <= TLS_RECORD_BYTES_MAX => Ok(()),
            _ => {
                self.tls = Some(Tls::new(io.tls.clone()).map_err(|error| {
                    tracing::error!(%error, "no TLS for clients");
                    Why::Tls
                })?);
                let mut hello = std::mem::take(&mut self.input);
                self.take_in_records(&mut hello, io)
            }
        }
    }

    /// Others serve it, if anybody does.
    fn leave(&mut self, secure: Security, io: &mut Io<'_>) -> Result<(), Why> {
        self.standing = io.admission.decide(self.standing, secure).ok_or(Why::Unrecognised)?;
        self.leaves = Some(secure);
        Err(Why::HandedOver)
    }

    /// Takes in bytes of TLS, or of what is spoken without it.
    fn take_in_records(&mut self, bytes: &mut [u8], io: &mut Io<'_>) -> Result<(), Why> {
        let Some(tls) = &mut self.tls else { return self.ingest(bytes, io) };
        let was_established = tls.is_established();
        let received = tls.receive(bytes);
        if !received.answer.is_empty() {
            if !was_established {
                *io.handshakes_left = io.handshakes_left.saturating_sub(1);
            }
            self.queue_raw(received.answer, io.now, io.stall_timeout).map_err(|_| Why::OutboxFull)?;
        }
        self.read_closed |= received.closed;
        if !received.plain.is_empty() {
            self.ingest(&received.plain, io)?;
        }
        if let Some(error) = received.failed {
            tracing::debug!(peer = %self.peer, %error, "TLS failed");
            self.drain();
        }
        Ok(())
    }

    /// Takes in bytes just read (none: those left lying while the pipeline was full).
    fn ingest(&mut self, fresh: &[u8], io: &mut Io<'_>) -> Result<(), Why> {
        let preface = if matches!(self.phase, Phase::Sniffing) { self.open(fresh, io)? } else { 0 };
        if !matches!(self.phase, Phase::Open(_)) {
            return Ok(());
        }
        let fresh = &fresh[preface..];
        let before = self.unanswered;
        let result = if self.input.is_empty() {
            self.split(fresh, io.turn).map(|used| self.input = fresh[used..].to_vec())
        } else {
            self.input.extend_from_slice(fresh);
            let input = std::mem::take(&mut self.input);
            self.split(&input, io.turn).map(|used| {
                self.input = input;
                self.consume(used);
            })
        };
        if let Err(error) = result {
            io.turn.events.push(Event::Malformed { conn: self.id, error });
            self.unanswered += 1;
            self.phase = Phase::Answering;
            self.forget_input();
            return Ok(());
        }
        if self.unanswered > before {
            self.deadlines.handshake = None;
            self.deadlines.frame = None;
        }
        Ok(())
    }

    /// Decides what it speaks and whether it is served. Returns how many bytes of `first` have said so and are not part of
    /// a frame.
    fn open(&mut self, first: &[u8], io: &mut Io<'_>) -> Result<usize, Why> {
        let (layer, secure) = match &self.tls {
            Some(tls) => (Layer::Inside { own_dialect: tls.has_alpn() }, Security::Tls),
            None if self.peer.ip().to_canonical().is_loopback() => (Layer::Outside, Security::Loopback),
            None => (Layer::Outside, Security::Plain),
        };
        let mut preface = 0;
        let sniffed = if self.input.is_empty() {
            sniff(first, layer)
        } else {
            sniff(&[self.input.as_slice(), first].concat(), layer)
        };
        match sniffed {
            Sniffed::NeedMore => self.input.extend_from_slice(first),
            // TLS is begun before its bytes come here.
            Sniffed::Refused | Sniffed::Tls => return Err(Why::Unrecognised),
            Sniffed::Http2 if io.serves_http2 => {
                self.input.extend_from_slice(first);
                self.leave(secure, io)?;
            }
            Sniffed::Http2 => return Err(Why::Unrecognised),
            Sniffed::Watcher => {
                self.standing = io.admission.watch(self.standing).ok_or(Why::Unrecognised)?;
                self.phase = Phase::Watching;
                self.forget_input();
            }
            Sniffed::Codec(codec) => {
                self.standing = io.admission.decide(self.standing, secure).ok_or(Why::Unrecognised)?;
                if codec == Codec::Samira2 {
                    // Some of it may have come before.
                    preface = PREFACE.len() - std::mem::take(&mut self.input).len();
                    self.queue(PREFACE.to_vec(), io.now, io.stall_timeout).map_err(|_| Why::OutboxFull)?;
                }
                match self.standing {
                    Standing::Client | Standing::Watcher => {
                        let own_dialect = layer == Layer::Inside { own_dialect: true };
                        io.turn.events.push(Event::Opened {
                            conn: self.id,
                            codec,
                            peer: self.peer,
                            secure,
                            own_dialect,
                        });
                        self.announced = true;
                        self.phase = Phase::Open(Splitter::new(codec));
                    }
                    Standing::Refused(refusal) => {
                        self.queue(refusal.encode(codec), io.now, io.stall_timeout).map_err(|_| Why::OutboxFull)?;
                        self.drain();
                    }
                }
            }
        }
        Ok(preface)
    }

    /// Hands on the whole frames at the start of `bytes` as far as the pipeline has room, and returns their length.
    fn split(&mut self, bytes: &[u8], turn: &mut Turn) -> Result<usize, DecodeError> {
        let Phase::Open(splitter) = &mut self.phase else { return Ok(0) };
        let mut used = 0;
        loop {
            self.input_ready = used < bytes.len() && self.unanswered >= PIPELINE_FRAMES_MAX;
            if used == bytes.len() || self.input_ready {
                return Ok(used);
            }
            let rest = &bytes[used..];
            let Some(end) = splitter.push(rest)? else {
                if splitter.is_idle() {
                    // A line feed behind a message is not the beginning of the next one: nothing to hold or to wait for.
                    splitter.reset();
                    used = bytes.len();
                }
                return Ok(used);
            };
            let start = turn.bytes.len();
            turn.bytes.extend_from_slice(&rest[..end]);
            turn.events.push(Event::Frame { conn: self.id, range: start..turn.bytes.len() });
            self.unanswered += 1;
            used += end;
        }
    }

    fn consume(&mut self, used: usize) {
        if used == self.input.len() {
            self.input = Vec::new();
        } else if used > 0 {
            self.input.drain(..used);
            self.input.shrink_to_fit();
        }
    }

    fn forget_input(&mut self) {
        self.input = Vec::new();
        self.input_ready = false;
        self.deadlines.handshake = None;
        self.deadlines.frame = None;
    }

    /// Queues what the client is to read.
    fn queue(&mut self, bytes: Vec<u8>, now: Instant, stall_timeout: Duration) -> Result<(), Overflow> {
        // Records are made at once, not when the socket takes them: their order is part of their encryption, and the
        // outbox's order is the only one there is.
        let bytes = match &mut self.tls {
            Some(tls) => tls.encrypt(&bytes),
            None => bytes,
        };
        self.queue_raw(bytes, now, stall_timeout)
    }

    /// Queues what goes out as it is.
    fn queue_raw(&mut self, bytes: Vec<u8>, now: Instant, stall_timeout: Duration) -> Result<(), Overflow> {
        self.outbox.push(bytes)?;
        if self.deadlines.taken.is_none() && !self.outbox.is_empty() {
            self.deadlines.taken = Some(now + stall_timeout);
        }
        Ok(())
    }

    fn drain(&mut self) {
        if let Some(tls) = &mut self.tls {
            // Where not even this fits the client has stopped reading, and will not miss it.
            let _ = self.outbox.push(tls.close());
        }
        self.phase = Phase::Draining;
        self.unanswered = 0;
        self.deadlines.silence = None;
        self.forget_input();
    }

    /// An incomplete frame, or record, has a deadline, unless it is us who do not read on.
    fn update_frame_deadline(&mut self, now: Instant) {
        let begun = !self.input.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.pending_len() > 0);
        let owed = matches!(self.phase, Phase::Open(_)) && begun && !self.paused && !self.read_closed;
        if !owed {
            self.deadlines.frame = None;
        } else if self.deadlines.frame.is_none() {
            self.deadlines.frame = Some(now + FRAME_TIMEOUT);
        }
    }

    fn update_pause(&mut self) {
        let limit = if self.paused { PIPELINE_FRAMES_RESUME + 1 } else { PIPELINE_FRAMES_MAX };
        self.paused = self.unanswered >= limit || self.outbox.bytes() >= OUTBOX_BYTES_PAUSE;
    }
}
