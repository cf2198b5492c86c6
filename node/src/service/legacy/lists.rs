//! What `get_chats` and the user lists show: as much as fits a reply, in order.

use wire::codec::Codec;
use wire::legacy::reply::{Chat, ChatsReply, Items, UsersReply};

use super::reply::{Room, encode, shown_name};
use crate::chat::search::Pattern;
use crate::storage::query::{ChatSummary, QueryError, StateReader};

/// More conversations than a reply can hold: each takes fifty bytes and more.
pub(super) const CHATS_MAX: u32 = 40;

/// More names than a reply can hold: each takes five bytes and more.
const NAMES_MAX: usize = 400;

/// The reply to `get_chats`.
pub(super) fn chats(codec: Codec, chats: &[ChatSummary], stale: bool) -> Vec<u8> {
    let others: Vec<String> = chats.iter().map(|chat| shown_name(&chat.other, chat.other_live)).collect();
    let items = chats.iter().zip(&others).map(|(chat, other)| Chat {
        chat_id: chat.legacy_id.as_str(),
        other_user: other,
        unread_count: i64::from(i32::try_from(chat.unread).unwrap_or(i32::MAX)),
    });
    let nothing: [Chat<&str>; 0] = [];
    let fitting = Room::beside(codec, &chats_reply(nothing.iter(), stale)).fill(items);
    encode(codec, &chats_reply(fitting.iter(), stale))
}

fn chats_reply<I>(chats: I, stale: bool) -> ChatsReply<Items<I>, &'static str> {
    ChatsReply { success: true, chats: Items(chats), error_message: "", stale }
}

/// Which users a list is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// What their names look like.
    pub(super) pattern: Pattern,
    /// Who is left out.
    pub(super) exclude: String,
    /// How many are passed over.
    pub(super) skip: usize,
    /// How many are shown at most.
    pub(super) count: usize,
}

/// The reply to `get_all_users` and `get_users_to_display`.
pub(super) fn users(
    reader: &StateReader,
    codec: Codec,
    selection: &Selection,
    stale: bool,
) -> Result<Vec<u8>, QueryError> {
    let Selection { pattern, exclude, skip, count } = selection;
    let names = reader.names(pattern, exclude, *skip, (*count).min(NAMES_MAX))?;
    Ok(named(codec, &names, stale))
}

/// The list of these names.
pub(super) fn named(codec: Codec, names: &[String], stale: bool) -> Vec<u8> {
    let nothing: [&String; 0] = [];
    let fitting = Room::beside(codec, &users_reply(nothing.iter(), stale)).fill(names);
    encode(codec, &users_reply(fitting.iter(), stale))
}

fn users_reply<I>(users: I, stale: bool) -> UsersReply<Items<I>, &'static str> {
    UsersReply { success: true, users: Items(users), error_message: "", stale }
}
