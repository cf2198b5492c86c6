//! What is pushed. Each is a dictionary under its own name: `{"message": {"conversation": 3, "number": 9, ...}}`. Those that
//! happen in the replicated state carry their change number as `id` (an update: as `cursor`), rising over the events of a
//! connection: once all up to it is kept, it is the device's new cursor.

use serde::{Deserialize, Serialize};

use super::item::{Deleted as Gone, Mark, Message as Item, Node};
use super::reply::Changes;
use super::request::messages;
use super::{Code, List, is_default};

super::frame::bodies! {
    /// What is pushed.
    pub enum Event<'a> {
        /// A new message.
        message: Message(Item<'a>),
        /// A message was deleted.
        deleted: Deleted(Gone),
        /// A mark has moved.
        mark: Mark(Moved),
        /// Several changes at once, as [`super::Reply::Changes`] tells them: where something happened that single events do not
        /// tell (a new conversation, a nickname, a conversation that is behind), or where a session fell behind.
        update: Update(Changes<'a>),
        /// Somebody types, or does not any more. Never stored.
        typing: Typing(Typing),
        /// Somebody came or went. Never stored.
        presence: Presence(Presence),
        /// The members of the cluster or its leader have changed.
        nodes: Nodes(Nodes<'a>),
        /// The connection ends, and why.
        bye: Bye(Bye<'a>),
    }
}

messages! {
    /// See [`Event::Mark`].
    Moved {
        /// Change number.
        id: u64,
        /// What it is now.
        mark: Mark,
    }

    /// See [`Event::Typing`].
    Typing {
        /// Where.
        conversation: u64,
        /// Who.
        user: u64,
        /// False: not any more. True holds for [`crate::limits::TYPING_TTL_MS`].
        on: bool,
    }

    /// See [`Event::Presence`].
    Presence {
        /// Who.
        user: u64,
        /// Whether they are connected.
        online: bool,
    }

    /// See [`Event::Nodes`].
    Nodes<'a> {
        /// All of them.
        nodes: List<Node<'a>>,
    }

    /// See [`Event::Bye`].
    Bye<'a> {
        /// Why.
        code: Code,
        /// In words, for people.
        text: &'a str,
    }
}
