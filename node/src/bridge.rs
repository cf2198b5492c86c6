//! The only place where the poll thread (mio) and the async thread (tokio) meet.
//!
//! Towards the service go *turns*: everything one turn of the poll loop has read, in one allocation. Towards the
//! transport go batches of replies, with one wake-up per batch.

use std::net::SocketAddr;
use std::ops::Range;

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
