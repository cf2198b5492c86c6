//! A stream of events: first what happened behind the caller's cursor, then what happens.

use std::collections::BTreeSet;

use proto::v2 as pb;
use tokio::sync::mpsc;
use tonic::Status;
use wire::chat::reply::Error;
use wire::chat::request::{Sync, Watch};
use wire::chat::{Code, Event, FromNode, List, Reply, Request};
use wire::limits::WATCHED_MAX;

use super::call::{Call, Calls, FIRST, decode, gone};
use super::caller::Caller;
use super::convert::{self, status};
use crate::bridge::Seat;

/// What is told at once before the caller has to take some of it.
pub(super) const EVENTS_AHEAD: usize = 16;

/// The id of the request whose presence to tell.
const WATCH: u64 = 0;

/// Tells until the caller leaves or the session ends, and says why.
pub(super) async fn tell(
    calls: Calls,
    caller: Caller,
    (mut call, _seat): (Call, Seat),
    request: pb::EventsRequest,
    to: mpsc::Sender<Result<pb::Event, Status>>,
) {
    let ended = tokio::select! {
        () = to.closed() => return,
        () = calls.stopping() => Err(gone()),
        ended = pump(&calls, &caller, &mut call, request, &to) => ended,
    };
    if let Err(status) = ended {
        // Who has left misses nothing.
        let _ = to.send(Err(status)).await;
    }
}

async fn pump(
    calls: &Calls,
    caller: &Caller,
    call: &mut Call,
    request: pb::EventsRequest,
    to: &mpsc::Sender<Result<pb::Event, Status>>,
) -> Result<(), Status> {
    let pb::EventsRequest { cursor, behind, watch } = request;
    let mut watch = Some(watch).filter(|users| !users.is_empty());
    let mut behind: BTreeSet<u64> = behind.into_iter().collect();
    call.send(FIRST, Request::Sync(Sync { cursor, limit: 0, behind: behind.iter().copied().collect() }))?;
    let (mut id, mut told) = (FIRST, false);
    loop {
        let Some(mut outgoing) = call.next().await else {
            let text = "the caller takes events too slowly, or the server stops: open another with the last cursor";
            return Err(status(&Error { code: Code::Stopping, text, retry_ms: 0 }));
        };
        let event = match decode(&mut outgoing.bytes)? {
            FromNode::Reply { reply: Some(Reply::Error(error)), .. } => return Err(status(&error)),
            FromNode::Reply { reply: Some(Reply::Changes(changes)), .. } => {
                // Asking for more says again what is behind, as every client does.
                if changes.resync {
                    behind.clear();
                }
                for found in changes.conversations.iter() {
                    if found.behind {
                        behind.insert(found.conversation)
                    } else {
                        behind.remove(&found.conversation)
                    };
                }
                if changes.more {
                    id += 1;
                    let behind = behind.iter().copied().take(WATCHED_MAX).collect();
                    call.send(id, Request::Sync(Sync { cursor: changes.cursor, limit: 0, behind }))?;
                } else if let Some(users) = watch.take() {
                    // Behind the past: who is there is part of what happens now.
                    call.send(WATCH, Request::Watch(Watch { users: List::from(users) }))?;
                }
                Some(pb::event::Event::Update(convert::changes(&changes)))
            }
            FromNode::Reply { .. } => None,
            FromNode::Event(Some(Event::Bye(bye))) => {
                return Err(status(&Error { code: bye.code, text: bye.text, retry_ms: 0 }));
            }
            FromNode::Event(Some(event)) => convert::event(&event),
            FromNode::Event(None) => None,
        };
        if !std::mem::replace(&mut told, true) {
            // From now on a revocation ends the stream by itself; one that came before it began is seen here.
            calls.identify(caller).await?;
        }
        if let Some(event) = event
            && to.send(Ok(pb::Event { event: Some(event) })).await.is_err()
        {
            return Ok(());
        }
    }
}
