//! One connection of our own dialect, as the service sees it. An idle one owns little more than its place in the table.

use std::sync::Arc;
use std::time::Instant;

use wire::codec::Codec;
use wire::session::server::{Identity, Server};

use super::answer::No;
use super::feed::Feed;
use super::marks::Gathered;
use crate::env::Clock;

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) codec: Codec,
    /// Nobody on a network can listen: tokens may travel.
    pub(super) secure: bool,
    /// What may be asked now.
    pub(super) machine: Server,
    /// For whom it is entered among those who are told and seen; outlives the end of the conversation with the client.
    pub(super) entered: Option<u64>,
    /// What it was told.
    pub(super) feed: Feed,
    /// Marks that are not stored yet; made when the first one comes.
    pub(super) marks: Option<Box<Gathered>>,
    /// When the service looks at its marks next.
    pub(super) noted_deadline: Option<Instant>,
    /// Whose presence it wants to know.
    pub(super) watched: Box<[u64]>,
    /// What its bye will say, once it is known that it ends.
    pub(super) ending: Option<Box<No>>,
    /// It is about to log its own device out, and hears of that by the reply.
    pub(super) logging_out: bool,
    /// Held while a password is looked at, see [`Passwords::asked_by`](crate::service::passwords::Passwords::asked_by).
    pub(super) asking: Option<Arc<()>>,
    /// When it began.
    pub(super) opened: Instant,
    /// Its client has ended the connection, and at most waits for answers.
    pub(super) left: bool,
    /// A job finds out whether a session that may only read may write again.
    pub(super) rechecking: bool,
}

impl Session {
    pub(super) fn new(codec: Codec, secure: bool) -> Session {
        Session {
            codec,
            secure,
            // Whoever was let in without TLS may send passwords: the operator has said that the network is trusted.
            machine: Server::new(true),
            entered: None,
            feed: Feed::new(),
            marks: None,
            noted_deadline: None,
            watched: Box::default(),
            ending: None,
            logging_out: false,
            asking: None,
            opened: Clock.monotonic(),
            left: false,
            rechecking: false,
        }
    }

    /// Who is logged in.
    pub(super) fn who(&self) -> Option<Identity> {
        self.machine.identity()
    }
}
