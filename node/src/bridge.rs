//! The only place where the poll thread (mio) and the async threads (tokio) meet.
//!
//! Towards the service go *turns*: everything one turn of the poll loop has read, in one allocation. Towards the
//! transport go batches of replies, with one wake-up per batch.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use wire::session::server::Identity;
use wire::{DecodeError, codec::Codec};

use crate::limits::PUSHED_BYTES_MAX;

/// One client connection of this process. Never reused while anything may still refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Place in the transport's table.
    pub slot: u32,
    /// Distinguishes successive users of the same place.
    pub generation: u32,
}

/// What one turn of the poll loop has read.
#[derive(Debug, Default)]
pub struct Turn {
    /// The bytes of all frames of this turn.
    pub bytes: Vec<u8>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Calls are counted as connections in the upper half of the slots, where the transport has none.
const CALL_SLOTS: u32 = 1 << 31;

impl ConnId {
    /// The id of a call; different for 2⁶³ calls in a row.
    pub fn of_call(number: u64) -> ConnId {
        ConnId { slot: CALL_SLOTS | (number >> 32) as u32, generation: number as u32 }
    }

    /// Whether it is a call and no connection of the transport.
    pub fn is_call(self) -> bool {
        self.slot & CALL_SLOTS != 0
    }
}

/// What protects a connection from those who can read along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS, from wherever.
    Tls,
    /// Nothing, and nothing is needed: it does not leave this machine.
    Loopback,
    /// Nothing: the operator has allowed that. Neither passwords nor tokens should travel here.
    Plain,
}

/// One thing that happened on a client connection.
#[derive(Debug)]
pub enum Event {
    /// The first bytes have told who it is.
    Opened {
        /// Which.
        conn: ConnId,
        /// What it speaks.
        codec: Codec,
        /// From where.
        peer: SocketAddr,
        /// Who else may read along.
        secure: Security,
        /// In TLS it has asked for our own dialect by name (ALPN), and so must not speak the original's.
        own_dialect: bool,
    },
    /// A call of our own dialect over gRPC has begun: SAMIRA/2 without a preface and without a greeting.
    Called {
        /// Which.
        conn: ConnId,
        /// Who else may read along.
        secure: Security,
        /// Who calls, if that is known.
        who: Option<Identity>,
        /// It stays and is told what happens.
        listens: bool,
    },
    /// One whole frame.
    Frame {
        /// Which.
        conn: ConnId,
        /// Where in [`Turn::bytes`].
        range: Range<usize>,
    },
    /// The bytes make no frame. Nothing more will be read from it; answer, then close.
    Malformed {
        /// Which.
        conn: ConnId,
        /// What was wrong.
        error: DecodeError,
    },
    /// Nothing more will come from it. It still gets what it has asked for, if it is there.
    Ended {
        /// Which.
        conn: ConnId,
    },
    /// It is gone; replies to it are dropped.
    Closed {
        /// Which.
        conn: ConnId,
    },
}

impl Event {
    /// The connection of which this says that nothing more will come.
    pub fn end_of(&self) -> Option<ConnId> {
        match self {
            Event::Ended { conn } | Event::Closed { conn } => Some(*conn),
            _ => None,
        }
    }
}

/// A connection that speaks HTTP/2, on its way from the poll thread to those who serve it.
#[derive(Debug)]
pub struct HandedOver {
    /// The socket, in non-blocking mode.
    pub socket: TcpStream,
    /// From where.
    pub peer: SocketAddr,
    /// What was read from it already.
    pub read: Vec<u8>,
    /// Who else may read along; with TLS the handshake has yet to be made.
    pub secure: Security,
    /// It is not served, and told why.
    pub refused: Option<&'static str>,
    /// Its place among the clients, given up when this is dropped.
    pub seat: Seat,
}

/// Where the poll thread sends connections that speak HTTP/2.
pub type Handover = mpsc::Sender<HandedOver>;

/// A place, among the clients or others that are counted, that is taken while this lives.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// Takes one more of the places that `taken` counts.
    pub fn take(taken: &Arc<AtomicUsize>) -> Seat {
        taken.fetch_add(1, Ordering::Relaxed);
        Seat(taken.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What something that goes out is, towards the frames that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers one frame.
    Reply,
    /// Answers none: nobody has asked. A client that leaves too many of these lying is closed.
    Push,
}

/// One message on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// To whom.
    pub conn: ConnId,
    /// Encoded, written in one piece.
    pub bytes: Vec<u8>,
    /// Whether a frame is answered by it.
    pub kind: Kind,
    /// Close once the bytes are out.
    pub close: bool,
    /// From now on the connection is closed when nothing has come from it for this long.
    pub silence_max: Option<Duration>,
    /// From now on the connection is told why it ends, in our own dialect.
    pub dialect: Option<Codec>,
}

impl Outgoing {
    /// The answer to one frame.
    pub fn reply(conn: ConnId, bytes: Vec<u8>) -> Self {
        Self { conn, bytes, kind: Kind::Reply, close: false, silence_max: None, dialect: None }
    }

    /// Something that nobody has asked for.
    pub fn push(conn: ConnId, bytes: Vec<u8>) -> Self {
        Self { kind: Kind::Push, ..Self::reply(conn, bytes) }
    }

    /// The same, and the connection ends behind it if `close`.
    #[must_use]
    pub fn closing(self, close: bool) -> Self {
        Self { close, ..self }
    }

    /// The same, and from then on the client must say something within `silence_max`, again and again.
    #[must_use]
    pub fn bounding_silence(self, silence_max: Duration) -> Self {
        Self { silence_max: Some(silence_max), ..self }
    }

    /// The same, and from then on the client is told why its connection ends, in this codec of our own dialect.
    #[must_use]
    pub fn in_dialect(self, codec: Codec) -> Self {
        Self { dialect: Some(codec), ..self }
    }

    /// What it takes in memory while it waits.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

/// The way back to the poll thread. Clones share one queue.
///
/// Replies in it need no bound of their own: each answers a frame, and the transport stops reading from a connection at
/// [`crate::limits::PIPELINE_FRAMES_MAX`] unanswered ones. Pushes have [`PUSHED_BYTES_MAX`] together; the connection whose
/// push does not fit is closed, and its client asks for what it missed when it has come back.
#[derive(Clone)]
pub struct Replies {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    waker: mio::Waker,
}

/// What waits for the poll thread.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// In the order in which it was sent.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Connections that have lost a push.
    pub(crate) lost: HashSet<ConnId>,
    /// Memory of the pushes in `outgoing`.
    pushed_bytes: usize,
}

impl Queue {
    fn add(&mut self, mut batch: Vec<Outgoing>) {
        batch.retain(|outgoing| outgoing.kind == Kind::Reply || self.has_room(outgoing));
        if self.outgoing.is_empty() {
            self.outgoing = batch;
        } else {
            self.outgoing.append(&mut batch);
        }
    }

    fn has_room(&mut self, push: &Outgoing) -> bool {
        // What comes behind a lost one would only be read as if nothing were missing.
        if self.pushed_bytes + push.cost() > PUSHED_BYTES_MAX || self.lost.contains(&push.conn) {
            self.lost.insert(push.conn);
            return false;
        }
        self.pushed_bytes += push.cost();
        true
    }

    fn is_empty(&self) -> bool {
        self.outgoing.is_empty() && self.lost.is_empty()
    }
}

impl Replies {
    /// A queue whose reader is woken through `waker`.
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { shared: Arc::new(Shared { queue: Mutex::default(), waker }) }
    }

    /// Hands a batch to the poll thread, which is woken once however many batches it finds. Never blocks. Batches to one
    /// connection arrive in the order in which they were sent.
    pub fn send(&self, batch: Vec<Outgoing>) {
        if batch.is_empty() {
            return;
        }
        let was_empty = {
            let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = queue.is_empty();
            queue.add(batch);
            was_empty
        };
        // A queue that was not empty has a wake-up on its way already.
        if was_empty {
            self.wake();
        }
    }

    /// Wakes the poll thread.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.shared.waker.wake() {
            tracing::error!(%error, "the poll thread cannot be woken");
        }
    }

    /// Everything sent so far.
    pub(crate) fn take(&self) -> Queue {
        std::mem::take(&mut *self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way back to calls over gRPC. Clones share one table.
#[derive(Debug, Clone, Default)]
pub struct CallReplies {
    calls: Arc<Mutex<HashMap<ConnId, Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    frames: mpsc::Sender<Outgoing>,
    listens: bool,
}

impl CallReplies {
    /// What comes for a call from now on; pushes only if it `listens`. The end of the channel is the end of the call: it was
    /// closed, or has left more than `room` lying.
    pub fn expect(&self, conn: ConnId, listens: bool, room: usize) -> mpsc::Receiver<Outgoing> {
        let (frames, receiver) = mpsc::channel(room);
        self.table().insert(conn, Waiting { frames, listens });
        receiver
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, conn: ConnId) {
        self.table().remove(&conn);
    }

    /// Hands something to the call it is for.
    pub fn send(&self, outgoing: Outgoing) {
        let (conn, close) = (outgoing.conn, outgoing.close);
        let mut calls = self.table();
        let Some(waiting) = calls.get(&conn) else { return };
        let wanted = waiting.listens || outgoing.kind == Kind::Reply;
        let lost = wanted && waiting.frames.try_send(outgoing).is_err();
        if close || lost {
            calls.remove(&conn);
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ConnId, Waiting>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
