//! A stream of numbered writes: one short session for all of them, so that they are applied in the order in which they come.
//! Calls of their own have no such order: HTTP/2 may hand over the second before the first.

use std::collections::HashMap;

use proto::v2 as pb;
use proto::v2::write_reply::Outcome;
use proto::v2::write_request::Write;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use wire::chat::reply::Error;
use wire::chat::{Code, Event, FromNode, List, Reply, Request, request};

use super::call::{Call, Calls, decode, gone};
use super::convert::{coded, refusal, status};
use crate::bridge::Seat;
use crate::limits::{GRPC_WRITES_BYTES_MAX, GRPC_WRITES_UNDER_WAY_MAX};

/// Carries writes out until the caller has ended the stream and everything is answered, or it cannot go on.
pub(super) async fn carry_out(
    calls: Calls,
    (call, _seat): (Call, Seat),
    writes: Streaming<pb::WriteRequest>,
    to: mpsc::Sender<Result<pb::WriteReply, Status>>,
) {
    let ended = tokio::select! {
        () = to.closed() => return,
        () = calls.stopping() => Err(gone()),
        ended = pump(call, writes, &to) => ended,
    };
    if let Err(status) = ended {
        // Whoever has left misses nothing.
        let _ = to.send(Err(status)).await;
    }
}

async fn pump(
    mut call: Call,
    mut writes: Streaming<pb::WriteRequest>,
    to: &mpsc::Sender<Result<pb::WriteReply, Status>>,
) -> Result<(), Status> {
    // Write numbers and bytes by request id.
    let mut open: HashMap<u64, (u64, usize)> = HashMap::new();
    let (mut id, mut bytes, mut more) = (0, 0, true);
    while more || !open.is_empty() {
        tokio::select! {
            // Answers first: they make room.
            biased;
            outgoing = call.next() => {
                let mut outgoing = outgoing.ok_or_else(gone)?;
                let reply = match decode(&mut outgoing.bytes)? {
                    FromNode::Reply { re, reply: Some(reply) } => open.remove(&re).map(|(seq, length)| {
                        bytes -= length;
                        answer(seq, &reply)
                    }),
                    FromNode::Event(Some(Event::Bye(bye))) => {
                        return Err(status(&Error { code: bye.code, text: bye.text, retry_ms: 0 }));
                    }
                    _ => None,
                };
                if let Some(reply) = reply && to.send(Ok(reply)).await.is_err() {
                    return Ok(());
                }
            }
            write = writes.message(), if more && open.len() < GRPC_WRITES_UNDER_WAY_MAX && bytes < GRPC_WRITES_BYTES_MAX => match write.map_err(coded)? {
                None => more = false,
                Some(pb::WriteRequest { write: None }) => {
                    return Err(refusal(Code::UnknownRequest, "a write of a kind that is not known here"));
                }
                Some(pb::WriteRequest { write: Some(write) }) => {
                    id += 1;
                    let (seq, request) = asked(&write);
                    let length = write.encoded_len();
                    bytes += length;
                    open.insert(id, (seq, length));
                    call.send_when_there_is_room(id, request).await?;
                }
            },
        }
    }
    Ok(())
}

/// The request of our own dialect, and its number.
fn asked(write: &Write) -> (u64, Request<'_>) {
    match write {
        Write::Send(pb::SendRequest { conversation, username, text, seq, user }) => {
            (*seq, Request::Send(request::Send { conversation: *conversation, username, user: *user, text, seq: *seq }))
        }
        Write::DeleteMessages(pb::DeleteMessagesRequest { conversation, numbers, seq }) => {
            let numbers = List::from(numbers.clone());
            (*seq, Request::Delete(request::Delete { conversation: *conversation, numbers, seq: *seq }))
        }
        Write::ClearView(pb::ClearViewRequest { conversation, upto, seq }) => {
            (*seq, Request::Clear(request::Clear { conversation: *conversation, upto: *upto, seq: *seq }))
        }
        Write::SetNickname(pb::SetNicknameRequest { nickname, seq }) => {
            (*seq, Request::Nickname(request::Nickname { nickname, seq: *seq }))
        }
        Write::SetViewLimit(pb::SetViewLimitRequest { view_limit, seq }) => {
            (*seq, Request::ViewLimit(request::ViewLimit { view_limit: *view_limit, seq: *seq }))
        }
    }
}

fn answer(seq: u64, reply: &Reply<'_>) -> pb::WriteReply {
    let outcome = match reply {
        Reply::Sent(sent) => {
            Outcome::Sent(pb::Sent { conversation: sent.conversation, number: sent.number, id: sent.id })
        }
        Reply::Removed(count) => Outcome::Removed(pb::Count { count: count.count }),
        Reply::Error(error) => Outcome::Refused(pb::Refusal {
            code: u32::from(error.code.number()),
            text: error.text.to_owned(),
            retry_ms: error.retry_ms,
        }),
        _ => Outcome::Done(pb::Done {}),
    };
    pb::WriteReply { seq, outcome: Some(outcome) }
}
