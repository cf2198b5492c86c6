//! What is answered. Each is a dictionary under its own name beside `re`, the id of the request:
//! `{"re": 7, "sent": {"conversation": 3, "number": 9, "id": 71, "time_ms": 1795348800000}}`.

use serde::{Deserialize, Serialize};

use super::item::{Conversation as Summary, Deleted, Device, Mark, Member, Message, Node, Person, Token};
use super::request::{Nothing, messages};
use super::{Code, List, is_default};

super::frame::bodies! {
    /// What is answered.
    pub enum Reply<'a> {
        /// It was not done.
        error: Error(Error<'a>),
        /// It was done, and there is nothing more to say.
        done: Done(Nothing),
        /// To `hello`.
        welcome: Welcome(Welcome<'a>),
        /// To `signup`, `login` and `resume`.
        session: Session(Session<'a>),
        /// To `sync`.
        changes: Changes(Changes<'a>),
        /// To `conversations`.
        conversations: Conversations(Conversations<'a>),
        /// To `open`.
        opened: Opened(Summary<'a>),
        /// To `next` and `history`.
        messages: Messages(Messages<'a>),
        /// To `send`.
        sent: Sent(Sent),
        /// To `delete`: how many there were to delete.
        removed: Removed(Count),
        /// To `users`.
        users: Users(Users<'a>),
        /// To `account`.
        profile: Profile(Account<'a>),
        /// To `devices`.
        devices: Devices(Devices<'a>),
        /// To `delete_account`: how many unread messages went or would go.
        lost: Lost(Count),
    }
}

messages! {
    /// See [`Reply::Error`].
    Error<'a> {
        /// Why.
        code: Code,
        /// In words, for people.
        text: &'a str,
        /// Do not try again earlier than in this many milliseconds.
        retry_ms: u64,
    }

    /// See [`Reply::Welcome`].
    Welcome<'a> {
        /// The version spoken from here on.
        samira: u64,
        /// Id of the cluster: a cursor or device of another one means nothing here.
        cluster: &'a str,
        /// Name of this node.
        node: &'a str,
        /// Its clock, milliseconds since 1970, UTC.
        time_ms: u64,
        /// A connection that has been silent for this long is closed; half of it is a good time to say something.
        silence_ms: u64,
        /// Bytes of a message's text at most.
        text_max: u64,
        /// Requests that may be open at once.
        pipeline: u64,
        /// The members of the cluster.
        nodes: List<Node<'a>>,
    }

    /// See [`Reply::Session`].
    Session<'a> {
        /// Who.
        user: u64,
        /// User name.
        username: &'a str,
        /// Nickname.
        nickname: &'a str,
        /// Unread messages that one request hands over at most.
        view_limit: u64,
        /// Which device this is.
        device: u64,
        /// What to resume with next time. Keep it on disk before anything else is done with the session. None where it
        /// would travel in the clear.
        token: Option<Token>,
        /// Number of the last write of this device that was applied: the next one is above it.
        last_seq: u64,
        /// No majority answers: what is read here may be old, and writes are refused.
        stale: bool,
    }

    /// See [`Reply::Changes`]. Everything that happened up to `cursor`.
    Changes<'a> {
        /// Conversations that are new to the device, or whose summary it cannot work out by itself.
        conversations: List<Summary<'a>>,
        /// Messages, in their order.
        messages: List<Message<'a>>,
        /// Messages deleted.
        deleted: List<Deleted>,
        /// Marks that have moved.
        marks: List<Mark>,
        /// People who have another nickname, or are gone.
        people: List<Person<'a>>,
        /// One's own account, if it has changed.
        account: Option<Account<'a>>,
        /// What to ask for next, once all of this is kept.
        cursor: u64,
        /// There is more: ask again. Otherwise, what comes from now on is pushed.
        more: bool,
        /// The cursor was not of this cluster's history: forget everything that is not listed here, and ask from here on.
        resync: bool,
        /// No majority confirmed this.
        stale: bool,
    }

    /// See [`Reply::Conversations`].
    Conversations<'a> {
        /// Newest message first.
        conversations: List<Summary<'a>>,
        /// There are more.
        more: bool,
        /// No majority confirmed this.
        stale: bool,
    }

    /// See [`Reply::Messages`].
    Messages<'a> {
        /// In the order that was asked for.
        messages: List<Message<'a>>,
        /// There are more in that direction.
        more: bool,
        /// Unread messages of the conversation that were not handed over with this.
        unread: u64,
        /// No majority confirmed this.
        stale: bool,
    }

    /// See [`Reply::Sent`].
    Sent {
        /// Where.
        conversation: u64,
        /// The message's number there.
        number: u64,
        /// Its change number.
        id: u64,
    }

    /// A number of things.
    Count {
        /// How many.
        count: u64,
    }

    /// See [`Reply::Users`].
    Users<'a> {
        /// In the order of their user names.
        people: List<Person<'a>>,
        /// How many fit the pattern in all.
        total: u64,
        /// No majority confirmed this.
        stale: bool,
    }

    /// See [`Reply::Profile`].
    Account<'a> {
        /// Who.
        user: u64,
        /// User name.
        username: &'a str,
        /// Nickname.
        nickname: &'a str,
        /// Unread messages that one request hands over at most.
        view_limit: u64,
        /// No majority confirmed this.
        stale: bool,
    }

    /// See [`Reply::Devices`].
    Devices<'a> {
        /// Oldest first.
        devices: List<Device<'a>>,
        /// No majority confirmed this.
        stale: bool,
    }
}

/// Somebody in a conversation, found by user id.
#[must_use]
pub fn member<'c, 'a>(conversation: &'c Summary<'a>, user: u64) -> Option<&'c Member<'a>> {
    conversation.members.iter().find(|member| member.person.user == user)
}
