//! What a program asks of the driver, and what it is told.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use wire::chat::item;

use crate::model::{Delta, Message, Model, Person, Refusal, Target, Text};

/// A password as it travels: lowercase hexadecimal SHA-256 of what was typed, in normal form C. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Of what somebody typed.
    #[must_use]
    pub fn of(typed: &str) -> Self {
        // Keyboards of different systems give one letter in different forms.
        Self(HEXLOWER.encode(&Sha256::digest(wire::names::nfc(typed))))
    }

    pub(crate) fn wire(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Names a command, so that its answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a program asks for. Each gets one [`Answer`] or [`Failure`].
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Makes an account and logs in. [`Answer::Done`].
    SignUp {
        /// Unique.
        username: String,
        /// Shown to others; empty: the user name.
        nickname: String,
        /// The password.
        password: Password,
    },
    /// Logs in. [`Answer::Done`].
    LogIn {
        /// Who.
        username: String,
        /// The password.
        password: Password,
    },
    /// Logs this device out and forgets everything it held, the outbox included. [`Answer::Done`].
    LogOut,
    /// Sends a message. [`Answer::Stored`] once the cluster has it, however long that takes.
    Send {
        /// Where to.
        to: Target,
        /// What.
        text: Text,
    },
    /// Takes a message back that waits in the outbox or was refused. [`Answer::Done`], or [`Failure::TooLate`] if it may
    /// have been sent.
    Discard {
        /// Its key.
        key: u64,
    },
    /// Deletes messages of one's own for everybody. [`Answer::Count`].
    Delete {
        /// Where.
        conversation: u64,
        /// Which, at most [`wire::limits::ITEMS_PER_REQUEST_MAX`].
        numbers: Vec<u64>,
    },
    /// Empties one's own view. [`Answer::Done`].
    Clear {
        /// Which conversation.
        conversation: u64,
        /// Up to this number.
        upto: u64,
    },
    /// The user has read. Shown at once, told to the node soon. [`Answer::Done`] at once.
    MarkRead {
        /// Where.
        conversation: u64,
        /// Up to this number.
        upto: u64,
    },
    /// The user types, or does not any more. Lost without a connection. [`Answer::Done`] at once.
    Typing {
        /// Where.
        conversation: u64,
        /// False: not any more.
        on: bool,
    },
    /// Whose presence to tell from now on, on every connection. [`Answer::Done`] at once.
    Watch(Vec<u64>),
    /// Keeps what was begun and not sent; empty: nothing. [`Answer::Done`] once it is on disk.
    Draft {
        /// Where.
        conversation: u64,
        /// What.
        text: Text,
    },
    /// The next unread messages of a conversation that is behind. [`Answer::Messages`].
    Next {
        /// Which.
        conversation: u64,
    },
    /// Messages below a number, newest first: from disk if they are there without a hole, otherwise from the node.
    /// [`Answer::Messages`].
    History {
        /// Where.
        conversation: u64,
        /// Below this number; 0: from the newest on, past unread ones that were kept back.
        before: u64,
        /// At most.
        limit: u64,
    },
    /// Searches for people. [`Answer::People`].
    Users {
        /// `*` and `?` are wildcards; empty: everybody.
        pattern: String,
        /// Behind this many.
        skip: u64,
        /// At most; 0: as many as the node likes.
        limit: u64,
    },
    /// Finds or makes the direct conversation with somebody. [`Answer::Opened`].
    OpenConversation {
        /// Their user name; one's own for the notebook.
        username: String,
    },
    /// The devices of this account. [`Answer::Devices`].
    Devices,
    /// Logs another device out. [`Answer::Done`].
    Revoke {
        /// Which.
        device: u64,
    },
    /// Changes the nickname. [`Answer::Done`].
    Nickname(String),
    /// Changes how many unread messages are handed over at a time. [`Answer::Done`].
    ViewLimit(u64),
    /// Changes the password; other devices are logged out. [`Answer::Done`].
    ChangePassword {
        /// The one that holds.
        old: Password,
        /// The new one.
        new: Password,
    },
    /// Deletes the account, or tells how many unread messages that would lose. [`Answer::Count`].
    DeleteAccount {
        /// The password.
        password: Password,
        /// False: only tell.
        confirm: bool,
    },
    /// Tries to connect now instead of when the wait is over. [`Answer::Done`] at once.
    ConnectNow,
}

/// A place where this account is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Its id.
    pub device: u64,
    /// What it calls itself.
    pub name: String,
    /// When it was first logged in, milliseconds since 1970.
    pub created_ms: u64,
    /// When it last logged in or resumed.
    pub seen_ms: u64,
    /// It is this one.
    pub own: bool,
}

impl From<&item::Device<'_>> for Device {
    fn from(device: &item::Device<'_>) -> Self {
        Self {
            device: device.device,
            name: device.device_name.to_owned(),
            created_ms: device.created_ms,
            seen_ms: device.seen_ms,
            own: device.own,
        }
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was done.
    Done,
    /// The message is kept by the cluster.
    Stored {
        /// Where.
        conversation: u64,
        /// Its number there; 0 if that was long ago.
        number: u64,
    },
    /// How many there were.
    Count(u64),
    /// The conversation's id.
    Opened(u64),
    /// Messages, in the order that was asked for. They are in the model too.
    Messages {
        /// Where.
        conversation: u64,
        /// The messages; deleted ones are not among them.
        messages: Vec<Message>,
        /// There are more in that direction.
        more: bool,
        /// No majority confirmed this.
        stale: bool,
    },
    /// People.
    People {
        /// In the order of their user names.
        people: Vec<Person>,
        /// How many fit the pattern in all.
        total: u64,
        /// No majority confirmed this.
        stale: bool,
    },
    /// Devices, oldest first.
    Devices(Vec<Device>),
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The cluster has said no.
    #[error("{}", .0.text)]
    Refused(Refusal),
    /// No node answers; the text says what was tried.
    #[error("{0}")]
    Offline(String),
    /// Nobody is logged in.
    #[error("{0}")]
    LogInNeeded(String),
    /// It may or may not have been done: the connection was lost on the way.
    #[error("the connection was lost before the answer came: it may have been done")]
    Unknown,
    /// The message may have been sent already.
    #[error("it is on its way and cannot be taken back; once it is stored, delete it")]
    TooLate,
    /// Something of this device has to be done first.
    #[error("{0}")]
    NotNow(String),
    /// As much waits already as may, and nothing was kept of this: try again later.
    #[error("{0}")]
    Busy(String),
}

/// What the driver tells.
#[derive(Debug)]
pub enum Note {
    /// Everything this device knows; the first note, and the only one of its kind.
    Model(Box<Model>),
    /// What has changed, in order: fold it. On disk already, as far as it is kept there.
    Changed(Vec<Delta>),
    /// What came of a command.
    Answer {
        /// Of which.
        ticket: Ticket,
        /// What.
        outcome: Result<Answer, Failure>,
    },
    /// The disk does not work, so that nothing could be promised any more: the driver has ended.
    Broken(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_travels_as_its_digest_and_is_never_shown() {
        let password = Password::of("pässword");
        assert_eq!(password.wire(), "3478267b5612791b40988906b3a7897eb6ab501e04b95ed32f99d0afdf669d9c");
        assert_eq!(format!("{password:?}"), "Password(..)");
        assert_eq!(Password::of("pa\u{308}ssword"), password, "however the letter was typed");
    }
}
