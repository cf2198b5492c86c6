//! The only place where the poll thread (mio) and the async thread (tokio) meet.
//!
//! Towards the service go *turns*: everything one turn of the poll loop has read, in one allocation. Towards the
//! transport go batches of replies, with one wake-up per batch.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use wire::{DecodeError, codec::Codec};

/// One client connection of this process. Never reused while anything may still refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// It is gone; replies to it are dropped.
    Closed {
        /// Which.
        conn: ConnId,
    },
}

/// One reply on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// To whom.
    pub conn: ConnId,
    /// Encoded, written in one piece.
    pub bytes: Vec<u8>,
    /// Close once the bytes are out.
    pub close: bool,
}

/// The way back to the poll thread. Clones share one queue.
///
/// The queue needs no bound of its own: every entry answers a frame, and the transport stops reading from a
/// connection at [`crate::limits::PIPELINE_FRAMES_MAX`] unanswered ones.
#[derive(Clone)]
pub struct Replies {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Vec<Outgoing>>,
    waker: mio::Waker,
}

impl Replies {
    /// A queue whose reader is woken through `waker`.
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { shared: Arc::new(Shared { queue: Mutex::new(Vec::new()), waker }) }
    }

    /// Hands a batch to the poll thread, which is woken once however many batches it finds. Never blocks. Batches to one
    /// connection arrive in the order in which they were sent.
    pub fn send(&self, mut batch: Vec<Outgoing>) {
        if batch.is_empty() {
            return;
        }
        let was_empty = {
            let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = queue.is_empty();
            if was_empty {
                *queue = batch;
            } else {
                queue.append(&mut batch);
            }
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
    pub(crate) fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut *self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
