//! What programs read: one object per line. Keys stay; new ones may come.

use client_fltk::command::Device;
use client_fltk::model::{Conversation, Delivery, LinkState, Message, Model, Person};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

pub(crate) fn error(exit: u8, text: &str) -> Value {
    json!({"error": {"exit": exit, "text": text}})
}

pub(crate) fn message(model: &Model, conversation: u64, message: &Message) -> Value {
    let own = message.sender == model.me();
    let mut value = json!({
        "type": "message",
        "conversation": conversation,
        "number": message.number,
        "sender": username(model, message.sender),
        "sender_id": message.sender,
        "own": own,
        "time_ms": message.time_ms,
        "text": &*message.text,
    });
    if own {
        value["delivery"] = json!(delivery(model.delivery(conversation, message.number)));
    }
    value
}

fn username(model: &Model, user: u64) -> Option<&str> {
    let own = model.account.as_ref().filter(|account| account.user == user).map(|account| &*account.username);
    own.or_else(|| model.people.get(&user).map(|person| &*person.username))
}

pub(crate) fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Queued => "queued",
        Delivery::Stored => "stored",
        Delivery::Delivered => "delivered",
        Delivery::Read => "read",
    }
}

pub(crate) fn deleted(conversation: u64, number: u64) -> Value {
    json!({"type": "deleted", "conversation": conversation, "number": number})
}

pub(crate) fn mark(conversation: u64, user: u64, delivered: u64, read: u64) -> Value {
    json!({"type": "mark", "conversation": conversation, "user_id": user, "delivered": delivered, "read": read})
}

pub(crate) fn stored(conversation: u64, number: u64) -> Value {
    json!({"type": "stored", "conversation": conversation, "number": number})
}

pub(crate) fn outgoing(key: u64, to: &str, (state, why): (&str, &str), text: &str) -> Value {
    json!({"type": "outgoing", "outgoing": key, "to": to, "state": state, "why": why, "text": text})
}

pub(crate) fn done() -> Value {
    json!({"type": "done"})
}

pub(crate) fn count(of: &str, count: u64) -> Value {
    json!({"type": of, "count": count})
}

pub(crate) fn person(person: &Person) -> Value {
    json!({
        "type": "user", "user_id": person.user, "username": person.username, "nickname": person.nickname,
        "gone": person.gone,
    })
}

pub(crate) fn device(device: &Device) -> Value {
    json!({
        "type": "device", "device": device.device, "name": device.name, "created_ms": device.created_ms,
        "seen_ms": device.seen_ms, "own": device.own,
    })
}

pub(crate) fn conversation(model: &Model, conversation: &Conversation) -> Value {
    let members = conversation.members.iter().map(|(&user, marks)| {
        json!({"user_id": user, "username": username(model, user), "delivered": marks.delivered, "read": marks.read})
    });
    json!({
        "type": "conversation",
        "conversation": conversation.id,
        "title": model.title(conversation.id),
        "members": members.collect::<Vec<_>>(),
        "unread": model.unread(conversation.id),
        "last_number": conversation.last_number,
        "behind": conversation.is_behind(),
        "newest": conversation.newest().map(|newest| message(model, conversation.id, newest)),
    })
}

pub(crate) fn status(model: &Model) -> Value {
    let (state, why) = match &model.link.state {
        LinkState::Idle => ("idle", ""),
        LinkState::Connecting { .. } => ("connecting", ""),
        LinkState::Online => ("online", ""),
        LinkState::LogInNeeded { why } => ("log_in_needed", &**why),
        LinkState::Offline { .. } => ("offline", model.link.why().unwrap_or_default()),
        LinkState::Stopped { why } => ("stopped", &**why),
    };
    json!({
        "type": "status",
        "state": state,
        "why": why,
        "node": model.link.node,
        "address": model.link.address,
        "encrypted": model.link.encrypted,
        "stale": model.link.stale,
        "username": model.account.as_ref().map(|account| &account.username),
        "nickname": model.account.as_ref().map(|account| &account.nickname),
        "user_id": model.account.as_ref().map(|account| account.user),
        "view_limit": model.account.as_ref().map(|account| account.view_limit),
        "conversations": model.conversations.len(),
        "unread": model.unread_total(),
        "outbox": model.outbox.len(),
        "cursor": model.cursor,
        "hash": HEXLOWER.encode(&model.hash()),
    })
}
