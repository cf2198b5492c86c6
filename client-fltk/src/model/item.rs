//! People, messages and marks.

use std::fmt;
use std::ops::Deref;

use wire::chat::{item, reply};

/// What somebody wrote. Debug output shows its length alone, so that no log and no failing test tells it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(pub String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// User id.
    pub user: u64,
    /// User name.
    pub username: String,
    /// Shown to others; never empty.
    pub nickname: String,
    /// Unread messages that one request hands over at most.
    pub view_limit: u64,
}

impl From<&reply::Account<'_>> for Account {
    fn from(account: &reply::Account<'_>) -> Self {
        Self {
            user: account.user,
            username: account.username.to_owned(),
            nickname: nickname(account.nickname, account.username),
            view_limit: account.view_limit,
        }
    }
}

impl From<&reply::Session<'_>> for Account {
    fn from(session: &reply::Session<'_>) -> Self {
        Self {
            user: session.user,
            username: session.username.to_owned(),
            nickname: nickname(session.nickname, session.username),
            view_limit: session.view_limit,
        }
    }
}

/// Somebody with an account, or who had one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// User id.
    pub user: u64,
    /// User name.
    pub username: String,
    /// What they call themselves; never empty.
    pub nickname: String,
    /// The account was deleted.
    pub gone: bool,
}

impl Person {
    /// The name to show.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.gone { format!("{} (deleted)", self.nickname) } else { self.nickname.clone() }
    }
}

impl From<&item::Person<'_>> for Person {
    fn from(person: &item::Person<'_>) -> Self {
        Self {
            user: person.user,
            username: person.username.to_owned(),
            nickname: nickname(person.nickname, person.username),
            gone: person.gone,
        }
    }
}

fn nickname(nickname: &str, username: &str) -> String {
    if nickname.is_empty() { username.to_owned() } else { nickname.to_owned() }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its number in the conversation: the order.
    pub number: u64,
    /// Its change number.
    pub id: u64,
    /// User id of who sent it.
    pub sender: u64,
    /// When it was stored, milliseconds since 1970.
    pub time_ms: u64,
    /// What it says; empty once deleted.
    pub text: Text,
    /// It was deleted: its number is taken, and nothing is shown.
    pub deleted: bool,
    /// Its number among this device's writes, while it is being told; 0 if another device wrote it, and where it is held.
    pub seq: u64,
}

impl From<&item::Message<'_>> for Message {
    fn from(message: &item::Message<'_>) -> Self {
        Self {
            number: message.number,
            id: message.id,
            sender: message.sender,
            time_ms: message.time_ms,
            text: message.text.into(),
            // Nobody can send an empty text, so it tells a deletion.
            deleted: message.text.is_empty(),
            seq: message.seq,
        }
    }
}

/// How far somebody has come in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Messages up to this number are on a device of theirs.
    pub delivered: u64,
    /// Messages up to this number were read by them.
    pub read: u64,
}

impl Marks {
    /// The farther of both, in each respect; what was read was delivered.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let read = self.read.max(other.read);
        Self { delivered: self.delivered.max(other.delivered).max(read), read }
    }
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// What its operator calls it.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
    /// It leads.
    pub leader: bool,
}

impl From<&item::Node<'_>> for Node {
    fn from(node: &item::Node<'_>) -> Self {
        Self { name: node.name.to_owned(), address: node.address.to_owned(), leader: node.leader }
    }
}
