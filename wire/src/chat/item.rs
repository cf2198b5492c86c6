//! What requests, replies and events are made of.

use core::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::is_default;
use crate::limits::TOKEN_BYTES;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Message<'a> {
    /// Its change number.
    #[serde(skip_serializing_if = "is_default")]
    pub id: u64,
    /// Where.
    #[serde(skip_serializing_if = "is_default")]
    pub conversation: u64,
    /// Its number there, from 1.
    #[serde(skip_serializing_if = "is_default")]
    pub number: u64,
    /// User id of who sent it.
    #[serde(skip_serializing_if = "is_default")]
    pub sender: u64,
    /// When it was stored: milliseconds since 1970, UTC. For display; the order is `number`.
    #[serde(skip_serializing_if = "is_default")]
    pub time_ms: u64,
    /// What it says. Empty once deleted.
    #[serde(skip_serializing_if = "is_default")]
    pub text: &'a str,
    /// Its sequence number, on the device that wrote it and nowhere else.
    #[serde(skip_serializing_if = "is_default")]
    pub seq: u64,
}

/// Without the text, which belongs in no log.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("conversation", &self.conversation)
            .field("number", &self.number)
            .field("sender", &self.sender)
            .field("seq", &self.seq)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// A conversation, as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation<'a> {
    /// Its id.
    #[serde(skip_serializing_if = "is_default")]
    pub conversation: u64,
    /// Who is in it, the asking user included; one for a notebook.
    #[serde(borrow, skip_serializing_if = "is_default")]
    pub members: super::List<Member<'a>>,
    /// Number of its newest message, deleted or not; 0 if there was none yet.
    #[serde(skip_serializing_if = "is_default")]
    pub last_number: u64,
    /// Unread messages: those of others above the read mark that are not deleted.
    #[serde(skip_serializing_if = "is_default")]
    pub unread: u64,
    /// Messages up to this number are gone from this user's own view.
    #[serde(skip_serializing_if = "is_default")]
    pub cleared: u64,
    /// More unread messages than were handed over: [`super::Request::Next`] fetches them. Tells of this session.
    #[serde(skip_serializing_if = "is_default")]
    pub behind: bool,
    /// The newest message in this user's view that is not deleted, cut to a preview. Left out while the conversation is
    /// behind: what was not handed over is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Message<'a>>,
}

/// Somebody in a conversation, with how far they have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Member<'a> {
    /// Who.
    #[serde(borrow)]
    pub person: Person<'a>,
    /// Messages up to this number are on a device of theirs.
    #[serde(skip_serializing_if = "is_default")]
    pub delivered: u64,
    /// Messages up to this number were read by them.
    #[serde(skip_serializing_if = "is_default")]
    pub read: u64,
}

/// Somebody with an account, or who had one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Person<'a> {
    /// User id.
    #[serde(skip_serializing_if = "is_default")]
    pub user: u64,
    /// User name, unique among those who have an account.
    #[serde(skip_serializing_if = "is_default")]
    pub username: &'a str,
    /// What they call themselves; left out if it is the user name.
    #[serde(skip_serializing_if = "is_default")]
    pub nickname: &'a str,
    /// The account was deleted.
    #[serde(skip_serializing_if = "is_default")]
    pub gone: bool,
}

/// How far somebody has come in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// Where.
    #[serde(skip_serializing_if = "is_default")]
    pub conversation: u64,
    /// Whose; 0 in a request, which speaks of oneself.
    #[serde(skip_serializing_if = "is_default")]
    pub user: u64,
    /// Messages up to this number are stored on a device; 0 says nothing about it.
    #[serde(skip_serializing_if = "is_default")]
    pub delivered: u64,
    /// Messages up to this number were read, and so delivered; 0 says nothing about it.
    #[serde(skip_serializing_if = "is_default")]
    pub read: u64,
}

/// A deleted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deleted {
    /// The change number of its deletion.
    #[serde(skip_serializing_if = "is_default")]
    pub id: u64,
    /// Where.
    #[serde(skip_serializing_if = "is_default")]
    pub conversation: u64,
    /// Which.
    #[serde(skip_serializing_if = "is_default")]
    pub number: u64,
}

/// A place where somebody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Device<'a> {
    /// Its id.
    #[serde(skip_serializing_if = "is_default")]
    pub device: u64,
    /// What it calls itself.
    #[serde(skip_serializing_if = "is_default")]
    pub device_name: &'a str,
    /// When it was first logged in, milliseconds since 1970, UTC.
    #[serde(skip_serializing_if = "is_default")]
    pub created_ms: u64,
    /// When it last logged in or resumed.
    #[serde(skip_serializing_if = "is_default")]
    pub seen_ms: u64,
    /// It is the one that asks.
    #[serde(skip_serializing_if = "is_default")]
    pub own: bool,
}

/// A member of the cluster: somewhere else to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node<'a> {
    /// What its operator calls it.
    #[serde(skip_serializing_if = "is_default")]
    pub name: &'a str,
    /// `HOST:PORT`, as it was advertised.
    #[serde(skip_serializing_if = "is_default")]
    pub address: &'a str,
    /// It leads.
    #[serde(skip_serializing_if = "is_default")]
    pub leader: bool,
}

/// The secret with which a device comes back without a password. Never shown, not even in debug output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(pub [u8; TOKEN_BYTES]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Bytes in SAMIRA/2, lowercase hexadecimal text in JSON/2.
impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.0);
        }
        let mut hex = [0; 2 * TOKEN_BYTES];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        serializer.serialize_str(core::str::from_utf8(&hex).map_err(serde::ser::Error::custom)?)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TokenVisitor)
        } else {
            deserializer.deserialize_bytes(TokenVisitor)
        }
    }
}

struct TokenVisitor;

impl Visitor<'_> for TokenVisitor {
    type Value = Token;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token of {TOKEN_BYTES} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Token, E> {
        bytes.try_into().map(Token).map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Token, E> {
        let digits = text.as_bytes();
        if digits.len() != 2 * TOKEN_BYTES {
            return Err(E::invalid_length(digits.len(), &self));
        }
        let mut token = [0; TOKEN_BYTES];
        for (byte, pair) in token.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| HEX.iter().position(|&known| known == digit).map(|value| value as u8);
            let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else {
                return Err(E::invalid_value(de::Unexpected::Str(text), &self));
            };
            *byte = high << 4 | low;
        }
        Ok(Token(token))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::format;

    use super::*;
    use crate::chat::request::{DeleteAccount, Login, Password, Send, Signup};

    #[test]
    fn nothing_private_is_in_the_debug_form() {
        let secret = "a secret";
        let message = Message { text: secret, ..Message::default() };
        let shown = [
            format!("{:?}", Signup { password: secret, ..Signup::default() }),
            format!("{:?}", Login { password: secret, ..Login::default() }),
            format!("{:?}", Password { password: secret, new_password: secret }),
            format!("{:?}", DeleteAccount { password: secret, confirm: true }),
            format!("{:?}", Send { text: secret, ..Send::default() }),
            format!("{:?}", Conversation { newest: Some(message), ..Conversation::default() }),
            format!("{:?}", Token([0xab; TOKEN_BYTES])),
        ];
        for shown in shown {
            assert!(!shown.contains(secret) && !shown.contains("ab"), "{shown}");
        }
    }
}
