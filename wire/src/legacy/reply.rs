//! The answers, each with its keys in the original's order.
//!
//! Texts and lists are generic: the server writes from slices, iterators ([`Items`]) and anything that can be
//! displayed ([`Shown`]); a client reads `&str` and whatever list it likes, `Vec` or `heapless::Vec`.
//!
//! A refusal is an [`Outcome`] in answer to every action, and reads as any other reply with `success` false, its
//! `error_message` and nothing else, so that clients can decode the type their request calls for. A repeated key, which
//! requests may have, makes a reply invalid: servers do not repeat themselves.

use core::fmt::{self, Display};

use serde::{Deserialize, Serialize, Serializer};

/// Writes what an iterator yields as a list, without collecting it first.
#[derive(Debug, Clone, Copy)]
pub struct Items<I>(pub I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Items<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// Writes the displayed form of a value as text, without making a string first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Requests may follow.
    Connected,
    /// The connection is closed behind this reply.
    Error,
}

/// To the handshake, and to a connection that comes when the server is full, before it has said anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply<T> {
    /// How it ended.
    pub status: Status,
    /// [`text::Welcome`](super::text::Welcome), or why not.
    pub message: T,
}

/// To requests that ask for no data, and to every request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome<T> {
    /// Whether it was done.
    pub success: bool,
    /// Why not; empty if it was.
    pub error_message: T,
}

impl Outcome<&'static str> {
    /// It was done.
    #[must_use]
    pub const fn done() -> Self {
        Self { success: true, error_message: "" }
    }
}

impl<T> Outcome<T> {
    /// It was not done.
    #[must_use]
    pub const fn refused(error_message: T) -> Self {
        Self { success: false, error_message }
    }
}

/// To `login`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginReply<T> {
    /// Whether name and password are right.
    pub success: bool,
    /// Why not; empty if they are.
    pub error_message: T,
    /// Number of the account. SAMIRA carries 32 bits.
    #[serde(default)]
    pub user_id: i64,
    /// What others see.
    #[serde(default)]
    pub nickname: T,
    /// Unread messages handed over at a time.
    #[serde(default)]
    pub view_limit: i64,
    /// No quorum was heard: a session that can only read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

/// To `get_chats`. `L` is a list of [`Chat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatsReply<L, T> {
    /// Whether the list is one.
    pub success: bool,
    /// The newest conversation first.
    #[serde(default)]
    pub chats: L,
    /// Why there is no list; empty if there is.
    pub error_message: T,
    /// No quorum was heard: what the asked node has.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

/// One conversation of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat<T> {
    /// Its text id. Opaque, though it looks like two names.
    pub chat_id: T,
    /// Name of the other one.
    pub other_user: T,
    /// Messages from the other one above the read mark.
    pub unread_count: i64,
}

/// To `get_all_users` and `get_users_to_display`. `L` is a list of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersReply<L, T> {
    /// Whether the list is one.
    pub success: bool,
    /// Names.
    #[serde(default)]
    pub users: L,
    /// Why there is no list; empty if there is.
    pub error_message: T,
    /// No quorum was heard: what the asked node has.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

/// To `get_user_message_limit`. The original gives it no `success` key, whatever comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReply<M, T> {
    /// The view limit as text: clients put it into a text field.
    #[serde(default)]
    pub message_limit: M,
    /// Why there is none; empty if there is.
    pub error_message: T,
    /// No quorum was heard: what the asked node has.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

/// To `start_chat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartChatReply<T> {
    /// Whether the conversation exists now.
    pub success: bool,
    /// Its text id.
    #[serde(default)]
    pub chat_id: T,
    /// Why not; empty if it does.
    pub error_message: T,
}

/// To `get_messages`. `L` is a list of [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesReply<L, T> {
    /// Whether the list is one. `None`, and absent, only in [`MessagesReply::invalid_payload`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// The oldest message first.
    #[serde(default)]
    pub messages: L,
    /// Why there is no list; empty if there is.
    pub error_message: T,
    /// No quorum was heard: what the asked node has, and nothing was marked as read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

impl<M> MessagesReply<[M; 0], &'static str> {
    /// To a request that lacks a key.
    #[must_use]
    pub const fn invalid_payload() -> Self {
        Self { success: None, messages: [], error_message: super::text::INVALID_PAYLOAD, stale: false }
    }
}

/// One message of a list, or what reads as one: a [`Placeholder`] has no more than a sender and a text. Its `Debug` form
/// leaves the text out.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message<T> {
    /// Its number in the whole cluster, 0 if it is no message. SAMIRA carries 32 bits.
    #[serde(default)]
    pub id: i64,
    /// Who sent it.
    pub sender: T,
    /// Whom to.
    #[serde(default)]
    pub receiver: T,
    /// What it says.
    pub content: T,
    /// When it was stored: ISO 8601 with microseconds and without a zone.
    #[serde(default)]
    pub timestamp: T,
    /// 1 if the receiver had read it before this reply, else 0.
    #[serde(default)]
    pub read: u8,
}

/// Keeps the place of a message in a list. These two keys are all that the original's client looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placeholder<T> {
    /// Nobody.
    pub sender: T,
    /// Why no message stands here.
    pub content: T,
}

impl Placeholder<&'static str> {
    /// The message was sent before, and there is no room for it in this reply.
    pub const ELSEWHERE: Self = Self { sender: "", content: "..." };

    /// The message was sent before, and has been deleted by its sender since.
    pub const DELETED: Self = Self { sender: "", content: "(deleted)" };

    /// In front of the last message for which an open page is known to have a place.
    pub const PAGE_FULL: Self = Self {
        sender: "",
        content: "This page is almost full. If nothing new appears after the next message, leave this chat and open it again.",
    };
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Message")
            .field("id", &self.id)
            .field("sender", &self.sender)
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
