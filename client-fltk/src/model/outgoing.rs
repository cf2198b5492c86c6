//! What this device wants written: the outbox.

use wire::chat::Code;

use super::Text;

/// Where a message is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a known conversation.
    Conversation(u64),
    /// To somebody, by user name: to whoever has it when the message arrives. Once it has waited for as long as the name of a
    /// deleted account rests ([`wire::limits::NAME_REST_MS`]), it is refused, for the name may be somebody else's by then.
    Username(String),
    /// To an account, whoever has its name by then.
    Account {
        /// Its user id.
        user: u64,
        /// The name that it had when the message was written.
        username: String,
    },
}

/// A write that must happen once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sends a message.
    Send {
        /// Where to.
        to: Target,
        /// What.
        text: Text,
    },
    /// Deletes messages of one's own, for everybody.
    Delete {
        /// Where.
        conversation: u64,
        /// Which.
        numbers: Vec<u64>,
    },
    /// Empties one's own view of a conversation.
    Clear {
        /// Which.
        conversation: u64,
        /// Up to this number.
        upto: u64,
    },
    /// Changes the nickname.
    Nickname(String),
    /// Changes the view limit.
    ViewLimit(u64),
}

impl Write {
    /// Whether it is a message, which stays in sight until it is seen through or taken back.
    #[must_use]
    pub fn is_send(&self) -> bool {
        matches!(self, Self::Send { .. })
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What programs look at.
    pub code: Code,
    /// What people read.
    pub text: String,
}

/// How far a write has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteState {
    /// On this device's disk and nowhere else: it has no number yet and can be taken back.
    Queued,
    /// It has its number and may have been handed to a connection; whether the cluster has it is not known.
    Sent,
    /// The cluster has it; the message itself has not come back yet.
    Stored {
        /// Where.
        conversation: u64,
        /// Its number there.
        number: u64,
    },
    /// It will never be stored.
    Refused(Refusal),
}

/// A write and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// This device's name for it; the order in which they were asked for.
    pub key: u64,
    /// Its number among the device's writes, which it is given when it is sent for the first time; 0 before.
    pub seq: u64,
    /// What.
    pub write: Write,
    /// When it was asked for, milliseconds since 1970.
    pub created_ms: u64,
    /// How far it has come.
    pub state: WriteState,
}
