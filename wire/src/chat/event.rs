//! What is pushed. Each is a dictionary under its own name: `{"message": {"conversation": 3, "number": 9, ...}}`. Those that
//! happen in the replicated state carry their change number as `id`, rising over the events of a connection: once it is
//! kept, it is the device's new cursor.

use serde::{Deserialize, Serialize};

use super::item::{Conversation as Summary, Deleted as Gone, Mark, Message as Item, Node, Person as Somebody};
use super::reply::Account as Own;
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
        /// A conversation is new, or its summary has changed in a way that the device cannot work out.
        conversation: Conversation(Changed<'a>),
        /// Somebody has another nickname, or is gone.
        person: Person(Person<'a>),
        /// One's own account has changed.
        account: Account(Account<'a>),
        /// Somebody types, or does not any more. Never stored.
        typing: Typing(Typing),
        /// Somebody came or went. Never stored.
        presence: Presence(Presence),
        /// The members of the cluster or its leader have changed.
        nodes: Nodes(Nodes<'a>),
        /// The push was interrupted: ask `sync` again from the device's cursor.
        lagged: Lagged(super::request::Nothing),
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

    /// See [`Event::Conversation`].
    Changed<'a> {
        /// Change number.
        id: u64,
        /// What it is now.
        summary: Summary<'a>,
    }

    /// See [`Event::Person`].
    Person<'a> {
        /// Change number.
        id: u64,
        /// What they are now.
        person: Somebody<'a>,
    }

    /// See [`Event::Account`].
    Account<'a> {
        /// Change number.
        id: u64,
        /// What it is now.
        account: Own<'a>,
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
