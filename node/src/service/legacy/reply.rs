//! From answers to the bytes that clients of the original's sockets read: one reply of at most 2048 bytes.

use serde::Serialize;
use wire::codec::Codec;
use wire::legacy::reply::{
    Chat, ChatsReply, Items, LimitReply, LoginReply, MessagesReply, Outcome, Shown, StartChatReply, UsersReply,
};
use wire::legacy::text;

use super::answer::{Account, Answer, Read, shown_name};
use super::room::{Form, Room};
use crate::storage::query::ChatSummary;

/// Encodes an answer.
pub(super) fn encode(codec: Codec, answer: &Answer) -> Vec<u8> {
    match answer {
        Answer::Done => bytes(codec, &Outcome::done()),
        Answer::Refused(why) | Answer::NotNow(why) => bytes(codec, &Outcome::refused(&**why)),
        Answer::InvalidPayload => bytes(codec, &MessagesReply::<[(); 0], _>::invalid_payload()),
        Answer::LoggedIn(Account { id, nickname, view_limit, stale }) => {
            let (user_id, view_limit) = (small(*id), i64::from(*view_limit));
            bytes(
                codec,
                &LoginReply {
                    success: true,
                    error_message: "",
                    user_id,
                    nickname: nickname.as_str(),
                    view_limit,
                    stale: *stale,
                },
            )
        }
        Answer::Chat(id) => bytes(codec, &StartChatReply { success: true, chat_id: id.as_str(), error_message: "" }),
        Answer::ViewLimit(Read { value, stale }) => {
            bytes(codec, &LimitReply { message_limit: value.to_string().as_str(), error_message: "", stale: *stale })
        }
        Answer::Chats(Read { value, stale }) => chats(codec, value, *stale),
        Answer::Names(Read { value, stale }) => {
            let nothing: [&String; 0] = [];
            let fitting = Room::beside(Form::Socket(codec), &users_reply(nothing.iter(), *stale)).fill(value);
            bytes(codec, &users_reply(fitting.iter(), *stale))
        }
        // As much as fits was chosen when it was read: which messages count as shown depends on it.
        Answer::Messages(Read { value, stale }) => bytes(codec, &messages(value.iter(), *stale)),
    }
}

/// The first reply of a connection.
pub(super) fn hello<T: Serialize>(codec: Codec, reply: &T) -> Vec<u8> {
    bytes(codec, reply)
}

/// The last reply to bytes that are no message.
pub(super) fn malformed(codec: Codec, error: wire::DecodeError) -> Vec<u8> {
    last(codec, &Outcome::refused(Shown(text::Malformed(error))))
}

/// A reply behind which the connection is closed. In JSON it ends its line: it may go to a client of our own dialect, which
/// reads lines, before anything has told the dialects apart; and to the original's clients spacing means nothing.
pub(super) fn last<T: Serialize>(codec: Codec, reply: &T) -> Vec<u8> {
    let mut bytes = bytes(codec, reply);
    if codec == Codec::Json {
        bytes.push(b'\n');
    }
    bytes
}

/// A reply to `get_messages`.
pub(super) fn messages<I>(messages: I, stale: bool) -> MessagesReply<Items<I>, &'static str> {
    MessagesReply { success: Some(true), messages: Items(messages), error_message: "", stale }
}

fn chats(codec: Codec, chats: &[ChatSummary], stale: bool) -> Vec<u8> {
    let others: Vec<String> = chats.iter().map(|chat| shown_name(&chat.other, chat.other_live)).collect();
    let items = chats.iter().zip(&others).map(|(chat, other)| Chat {
        chat_id: chat.legacy_id.as_str(),
        other_user: other,
        unread_count: i64::from(count(chat.unread)),
    });
    let nothing: [Chat<&str>; 0] = [];
    let fitting = Room::beside(Form::Socket(codec), &chats_reply(nothing.iter(), stale)).fill(items);
    bytes(codec, &chats_reply(fitting.iter(), stale))
}

fn chats_reply<I>(chats: I, stale: bool) -> ChatsReply<Items<I>, &'static str> {
    ChatsReply { success: true, chats: Items(chats), error_message: "", stale }
}

fn users_reply<I>(users: I, stale: bool) -> UsersReply<Items<I>, &'static str> {
    UsersReply { success: true, users: Items(users), error_message: "", stale }
}

/// An id in the 31 bits that the original's numbers have.
pub(crate) fn small(id: u64) -> i64 {
    (id & 0x7fff_ffff) as i64
}

/// A count in those bits.
pub(crate) fn count(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn bytes<T: Serialize + ?Sized>(codec: Codec, reply: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_to_vec(reply, &mut bytes).expect("replies hold texts, lists and numbers of 31 bits, which all encode");
    bytes
}
