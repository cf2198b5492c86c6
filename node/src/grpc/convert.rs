//! From our own dialect's messages to those of `samira.v2`, which are the same under other names.

use proto::v2 as pb;
use tonic::metadata::MetadataValue;
use tonic::{Code as Grpc, Status};
use wire::chat::code::Remedy;
use wire::chat::reply::{self, Error};
use wire::chat::{Code, Event, event, item};

/// Number of the code in the trailers of a refusal.
pub(super) const CODE: &str = "samira-code";

/// When to try again, in the trailers of a refusal.
const RETRY_MS: &str = "samira-retry-ms";

/// A refusal.
pub(super) fn status(error: &Error<'_>) -> Status {
    let mut status = Status::new(grpc_code(error.code), error.text);
    let trailers = status.metadata_mut();
    trailers.insert(CODE, MetadataValue::from(error.code.number()));
    if error.retry_ms > 0 {
        trailers.insert(RETRY_MS, MetadataValue::from(error.retry_ms));
    }
    status
}

/// A refusal that is made here.
pub(super) fn refusal(code: Code, text: &str) -> Status {
    status(&Error { code, text, retry_ms: 0 })
}

/// The same status with the number of a code, where it is one of the framework's own and has none.
pub(super) fn coded(mut status: Status) -> Status {
    if let Some(code) = code_of(status.code())
        && !status.metadata().contains_key(CODE)
    {
        status.metadata_mut().insert(CODE, MetadataValue::from(code.number()));
    }
    status
}

/// The code for what the framework refuses by itself: a request that is too long, cannot be decoded, or has no such name.
pub(super) fn code_of(status: Grpc) -> Option<Code> {
    match status {
        Grpc::OutOfRange | Grpc::Internal | Grpc::InvalidArgument => Some(Code::Malformed),
        Grpc::Unimplemented => Some(Code::UnknownRequest),
        Grpc::ResourceExhausted => Some(Code::Busy),
        _ => None,
    }
}

/// The status that makes a client do what the code asks for.
fn grpc_code(code: Code) -> Grpc {
    match code {
        Code::Busy | Code::TooManyRequests => Grpc::ResourceExhausted,
        Code::OutOfOrder => Grpc::Aborted,
        Code::Malformed | Code::NameRefused => Grpc::InvalidArgument,
        Code::UnknownRequest => Grpc::Unimplemented,
        Code::NameTaken => Grpc::AlreadyExists,
        Code::NoSuchUser | Code::NoSuchConversation | Code::NoSuchDevice => Grpc::NotFound,
        Code::SignupClosed | Code::NotYours | Code::WrongPassword => Grpc::PermissionDenied,
        code => match code.remedy() {
            Remedy::Retry => Grpc::Unavailable,
            Remedy::LogIn => Grpc::Unauthenticated,
            Remedy::GiveUp => Grpc::FailedPrecondition,
        },
    }
}

pub(super) fn changes(from: &reply::Changes<'_>) -> pb::Changes {
    pb::Changes {
        conversations: from.conversations.iter().map(conversation).collect(),
        messages: from.messages.iter().map(message).collect(),
        deleted: from.deleted.iter().map(deleted).collect(),
        marks: from.marks.iter().map(mark).collect(),
        people: from.people.iter().map(person).collect(),
        account: from.account.as_ref().map(account),
        cursor: from.cursor,
        more: from.more,
        resync: from.resync,
        stale: from.stale,
    }
}

/// `None` for what is no part of a stream.
pub(super) fn event(from: &Event<'_>) -> Option<pb::event::Event> {
    use pb::event::Event as To;
    Some(match from {
        Event::Message(from) => To::Message(message(from)),
        Event::Deleted(from) => To::Deleted(deleted(from)),
        Event::Mark(event::Moved { id, mark: from }) => To::Mark(pb::Moved { id: *id, mark: Some(mark(from)) }),
        Event::Update(from) => To::Update(changes(from)),
        Event::Typing(event::Typing { conversation, user, on }) => {
            To::Typing(pb::Typing { conversation: *conversation, user: *user, on: *on })
        }
        Event::Presence(event::Presence { user, online }) => {
            To::Presence(pb::Presence { user: *user, online: *online })
        }
        Event::Nodes(event::Nodes { nodes }) => To::Nodes(pb::Nodes { nodes: nodes.iter().map(node).collect() }),
        Event::Bye(_) => return None,
    })
}

pub(super) fn account(from: &reply::Account<'_>) -> pb::Account {
    let reply::Account { user, username, nickname, view_limit, stale } = *from;
    pb::Account { user, username: username.to_owned(), nickname: nickname.to_owned(), view_limit, stale }
}

pub(super) fn conversations(from: &reply::Conversations<'_>) -> pb::Conversations {
    pb::Conversations {
        conversations: from.conversations.iter().map(conversation).collect(),
        more: from.more,
        stale: from.stale,
    }
}

pub(super) fn conversation(from: &item::Conversation<'_>) -> pb::Conversation {
    pb::Conversation {
        conversation: from.conversation,
        members: from.members.iter().map(member).collect(),
        last_number: from.last_number,
        unread: from.unread,
        cleared: from.cleared,
        behind: from.behind,
        newest: from.newest.as_ref().map(message),
    }
}

pub(super) fn messages(from: &reply::Messages<'_>) -> pb::Messages {
    pb::Messages {
        messages: from.messages.iter().map(message).collect(),
        more: from.more,
        unread: from.unread,
        stale: from.stale,
    }
}

pub(super) fn people(from: &reply::Users<'_>) -> pb::People {
    pb::People { people: from.people.iter().map(person).collect(), total: from.total, stale: from.stale }
}

pub(super) fn devices(from: &reply::Devices<'_>) -> pb::Devices {
    let device = |from: &item::Device<'_>| pb::Device {
        device: from.device,
        device_name: from.device_name.to_owned(),
        created_ms: from.created_ms,
        seen_ms: from.seen_ms,
        own: from.own,
    };
    pb::Devices { devices: from.devices.iter().map(device).collect(), stale: from.stale }
}

fn member(from: &item::Member<'_>) -> pb::Member {
    pb::Member { person: Some(person(&from.person)), delivered: from.delivered, read: from.read }
}

fn person(from: &item::Person<'_>) -> pb::Person {
    let item::Person { user, username, nickname, gone } = *from;
    pb::Person { user, username: username.to_owned(), nickname: nickname.to_owned(), gone }
}

fn message(from: &item::Message<'_>) -> pb::Message {
    let item::Message { id, conversation, number, sender, time_ms, text, seq } = *from;
    pb::Message { id, conversation, number, sender, time_ms, text: text.to_owned(), seq }
}

fn deleted(from: &item::Deleted) -> pb::Deleted {
    let item::Deleted { id, conversation, number } = *from;
    pb::Deleted { id, conversation, number }
}

fn mark(from: &item::Mark) -> pb::Mark {
    let item::Mark { conversation, user, delivered, read } = *from;
    pb::Mark { conversation, user, delivered, read }
}

fn node(from: &item::Node<'_>) -> pb::Node {
    pb::Node { name: from.name.to_owned(), address: from.address.to_owned(), leader: from.leader }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_that_leads_to_its_remedy() {
        for &code in Code::ALL {
            let status = status(&Error { code, text: "why", retry_ms: 7 });
            let retried = matches!(status.code(), Grpc::Unavailable | Grpc::ResourceExhausted | Grpc::Aborted);
            assert_eq!(retried, code.remedy() == Remedy::Retry, "{code:?}");
            assert_eq!(status.code() == Grpc::Unauthenticated, code.remedy() == Remedy::LogIn, "{code:?}");
            assert_eq!(status.metadata().get(CODE).unwrap(), &code.number().to_string());
            assert_eq!(status.metadata().get(RETRY_MS).unwrap(), "7");
        }
    }
}
