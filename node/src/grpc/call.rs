//! A call of `samira.v2` as the service sees it: a connection of SAMIRA/2 that lives for one request, or for one stream of
//! events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tonic::Status;
use wire::chat::reply::Error;
use wire::chat::{Code, FromClient, FromNode, Reply, Request};
use wire::codec::Codec;
use wire::frame;
use wire::session::server::Identity;

use super::caller::Caller;
use super::convert::{refusal, status};
use crate::bridge::{CallReplies, ConnId, Event, Outgoing, Seat, Security, Turn};
use crate::limits::{GRPC_EVENTS_WAITING_MAX, GRPC_STREAMS_MAX, GRPC_WRITES_UNDER_WAY_MAX};
use crate::service::OriginalCalls;

/// Where calls go, and where what is said to them comes from.
#[derive(Debug, Clone)]
pub struct CallPort {
    /// To the service.
    pub turns: mpsc::Sender<Turn>,
    /// From it.
    pub replies: CallReplies,
}

/// Makes calls.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    port: CallPort,
    verifier: Arc<OriginalCalls>,
    next: Arc<AtomicU64>,
    streams: Arc<AtomicUsize>,
    stopped: watch::Receiver<bool>,
}

/// The id of a call's only request, and of a stream's first.
pub(super) const FIRST: u64 = 1;

impl Calls {
    /// `stopped` tells when the server stops.
    pub(super) fn new(port: CallPort, verifier: Arc<OriginalCalls>, stopped: watch::Receiver<bool>) -> Calls {
        Calls { port, verifier, next: Arc::default(), streams: Arc::default(), stopped }
    }

    /// Returns when the server stops.
    pub(super) async fn stopping(&self) {
        // Without a sender it has stopped.
        let _ = self.stopped.clone().wait_for(|stop| *stop).await;
    }

    /// Who calls, by the token.
    ///
    /// # Errors
    /// There is none, it is not good, or nobody can tell now.
    pub(super) async fn identify(&self, caller: &Caller) -> Result<Identity, Status> {
        let Some(bearer) = caller.bearer else {
            let text = "this call needs a token: `authorization: Bearer TOKEN`, see LogIn";
            return Err(refusal(Code::NotLoggedIn, text));
        };
        if caller.secure() == Security::Plain {
            return Err(refusal(Code::PlaintextRefused, "tokens do not travel in the clear: connect with TLS"));
        }
        Ok(self.verifier.0.verify(bearer).await?)
    }

    /// Asks one thing and returns what `read` makes of the reply.
    ///
    /// # Errors
    /// The refusal, as a status.
    pub(super) async fn ask<T>(
        &self,
        secure: Security,
        who: Option<Identity>,
        request: Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, Status> {
        let mut call = self.begin(secure, who, false, 1)?;
        call.send(FIRST, request)?;
        let mut outgoing = call.next().await.ok_or_else(gone)?;
        match decode(&mut outgoing.bytes)? {
            FromNode::Reply { reply: Some(Reply::Error(error)), .. } => Err(status(&error)),
            FromNode::Reply { reply: Some(reply), .. } => {
                read(reply).ok_or_else(|| Status::internal("the reply does not fit the call"))
            }
            _ => Err(gone()),
        }
    }

    /// Begins a stream of events.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn listen(&self, secure: Security, who: Identity) -> Result<(Call, Seat), Status> {
        let seat = self.seat()?;
        Ok((self.begin(secure, Some(who), true, GRPC_EVENTS_WAITING_MAX)?, seat))
    }

    /// Begins a stream of writes, at most [`GRPC_WRITES_UNDER_WAY_MAX`] at once.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn take_writes(&self, secure: Security, who: Identity) -> Result<(Call, Seat), Status> {
        let seat = self.seat()?;
        Ok((self.begin(secure, Some(who), false, GRPC_WRITES_UNDER_WAY_MAX)?, seat))
    }

    fn seat(&self) -> Result<Seat, Status> {
        let seat = Seat::take(&self.streams);
        if self.streams.load(Ordering::Relaxed) > GRPC_STREAMS_MAX {
            return Err(busy("too many streams are open"));
        }
        Ok(seat)
    }

    fn begin(&self, secure: Security, who: Option<Identity>, listens: bool, room: usize) -> Result<Call, Status> {
        let end = self.port.turns.clone().try_reserve_owned().map_err(|_| busy("too many calls are waiting"))?;
        let conn = ConnId::of_call(self.next.fetch_add(1, Ordering::Relaxed));
        let frames = self.port.replies.expect(conn, listens, room);
        let call = Call { port: self.port.clone(), conn, frames, end: Some(end) };
        call.tell(Turn { bytes: Vec::new(), events: vec![Event::Called { conn, secure, who, listens }] })?;
        Ok(call)
    }
}

/// One call. The service forgets it when it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    port: CallPort,
    conn: ConnId,
    frames: mpsc::Receiver<Outgoing>,
    /// The place for telling its end.
    end: Option<mpsc::OwnedPermit<Turn>>,
}

impl Call {
    /// Sends a request.
    ///
    /// # Errors
    /// Too many wait.
    pub(super) fn send(&self, id: u64, request: Request<'_>) -> Result<(), Status> {
        self.tell(self.turn(id, request))
    }

    /// The same, later if too many wait.
    ///
    /// # Errors
    /// The server stops.
    pub(super) async fn send_when_there_is_room(&self, id: u64, request: Request<'_>) -> Result<(), Status> {
        self.port.turns.send(self.turn(id, request)).await.map_err(|_| gone())
    }

    fn turn(&self, id: u64, request: Request<'_>) -> Turn {
        let mut bytes = Vec::new();
        Codec::Samira2
            .encode_frame_to_vec(&FromClient { id, request: Some(request) }, &mut bytes)
            .expect("requests hold texts, lists, bytes and numbers, which all encode");
        let range = 0..bytes.len();
        Turn { bytes, events: vec![Event::Frame { conn: self.conn, range }] }
    }

    /// What is said to it next; `None` at its end.
    pub(super) async fn next(&mut self) -> Option<Outgoing> {
        self.frames.recv().await
    }

    fn tell(&self, turn: Turn) -> Result<(), Status> {
        self.port.turns.try_send(turn).map_err(|error| match error {
            TrySendError::Full(_) => busy("too many calls are waiting"),
            TrySendError::Closed(_) => gone(),
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.port.replies.forget(self.conn);
        if let Some(end) = self.end.take() {
            end.send(Turn { bytes: Vec::new(), events: vec![Event::Closed { conn: self.conn }] });
        }
    }
}

/// Reads what the service has said.
///
/// # Errors
/// Never, while both ends of this process are of the same build.
pub(super) fn decode(bytes: &mut [u8]) -> Result<FromNode<'_>, Status> {
    let body = frame::body(Codec::Samira2, bytes);
    Codec::Samira2.decode(body).map_err(|error| Status::internal(format!("a reply that cannot be read: {error}")))
}

/// Later.
fn busy(text: &'static str) -> Status {
    status(&Error { code: Code::Busy, text, retry_ms: 1000 })
}

/// The call has ended without an answer.
pub(super) fn gone() -> Status {
    refusal(Code::Stopping, "this server is stopping, go to another one")
}
