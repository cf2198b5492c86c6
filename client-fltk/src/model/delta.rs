//! What can change, and how what a node says becomes that.

use wire::chat::Event;
use wire::chat::{item, reply};
use wire::limits::TYPING_TTL_MS;

use super::{Account, Link, Marks, Message, Node, Outgoing, Person, Text, WriteState};

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In the order in which things happen: by `sync` or pushed.
    Stream,
    /// As one of the next unread ones.
    Next {
        /// Everything up to this number was handed over before.
        after: u64,
    },
    /// Because somebody looked at older ones.
    History,
}

/// A conversation as the node sums it up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Its id.
    pub conversation: u64,
    /// Who is in it, and how far they have come.
    pub members: Vec<(Person, Marks)>,
    /// Number of its newest message.
    pub last_number: u64,
    /// Unread messages.
    pub unread: u64,
    /// Messages up to this number are gone from one's own view.
    pub cleared: u64,
    /// Unread messages are kept back until they are asked for.
    pub behind: bool,
    /// The newest message that is not deleted, cut short.
    pub newest: Option<Message>,
}

impl From<&item::Conversation<'_>> for Summary {
    fn from(summary: &item::Conversation<'_>) -> Self {
        let members = summary.members.iter().map(|member| {
            let marks = Marks { delivered: member.delivered, read: member.read };
            (Person::from(&member.person), Marks::default().max(marks))
        });
        Self {
            conversation: summary.conversation,
            members: members.collect(),
            last_number: summary.last_number,
            unread: summary.unread,
            cleared: summary.cleared,
            behind: summary.behind,
            newest: summary.newest.as_ref().map(Message::from),
        }
    }
}

/// One change of the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Another user has logged in, or the account is gone: nothing of the old one stays.
    Wipe,
    /// The servers have begun another history: what is held is set aside, and everything is told anew.
    SetAside,
    /// One's own account.
    Account(Account),
    /// Somebody.
    Person(Person),
    /// A conversation, summed up, with what was handed over of it.
    Conversation(Summary),
    /// A conversation that was asked for, which says nothing about what was handed over: taken if it is not known yet.
    Opened(Summary),
    /// A message.
    Message {
        /// Where.
        conversation: u64,
        /// The message.
        message: Message,
        /// How it came.
        way: Way,
    },
    /// A message was deleted.
    Deleted {
        /// Where.
        conversation: u64,
        /// Which.
        number: u64,
    },
    /// A mark has moved.
    Mark {
        /// Where.
        conversation: u64,
        /// Whose.
        user: u64,
        /// Where to; 0 says nothing.
        marks: Marks,
    },
    /// All there is from `first` to `last` was told.
    Covered {
        /// Where.
        conversation: u64,
        /// From this number on.
        first: u64,
        /// Up to this one.
        last: u64,
    },
    /// The next unread messages were handed over.
    Next {
        /// Where.
        conversation: u64,
        /// Up to this number.
        last: u64,
        /// There are more.
        more: bool,
    },
    /// One's own view was emptied.
    Cleared {
        /// Where.
        conversation: u64,
        /// Up to this number.
        upto: u64,
    },
    /// Everything up to this change number is known.
    Cursor {
        /// The change number.
        cursor: u64,
        /// And nothing is missing: what happens from now on is pushed.
        synced: bool,
    },
    /// The user has read here.
    ReadHere {
        /// Where.
        conversation: u64,
        /// Up to this number.
        upto: u64,
    },
    /// This device wants something written.
    Queued(Outgoing),
    /// A write has come farther.
    WriteState {
        /// Which.
        key: u64,
        /// The number it has from now on; 0: none.
        seq: u64,
        /// How far.
        state: WriteState,
    },
    /// A write is done, or was taken back.
    Dropped {
        /// Which.
        key: u64,
    },
    /// Something was begun; empty: it was not.
    Draft {
        /// Where.
        conversation: u64,
        /// What.
        text: Text,
    },
    /// The connection has changed.
    Link(Link),
    /// The cluster's nodes.
    Nodes(Vec<Node>),
    /// Somebody types, or does not any more.
    Typing {
        /// Where.
        conversation: u64,
        /// Who.
        user: u64,
        /// As long as that, milliseconds since 1970; `None`: not any more.
        until_ms: Option<u64>,
    },
    /// Somebody came or went.
    Presence {
        /// Who.
        user: u64,
        /// Whether they are connected.
        online: bool,
    },
}

impl Delta {
    /// A message that was pushed or synchronized.
    #[must_use]
    pub fn streamed(message: &item::Message<'_>) -> Self {
        Self::Message { conversation: message.conversation, message: message.into(), way: Way::Stream }
    }

    fn deleted(deleted: &item::Deleted) -> Self {
        Self::Deleted { conversation: deleted.conversation, number: deleted.number }
    }

    fn mark(mark: &item::Mark) -> Self {
        let marks = Marks { delivered: mark.delivered, read: mark.read };
        Self::Mark { conversation: mark.conversation, user: mark.user, marks }
    }
}

/// What an answer to `sync`, or an update, changes. Messages come before the summaries: a summary counts them already.
#[must_use]
pub fn of_changes(changes: &reply::Changes<'_>) -> Vec<Delta> {
    let mut deltas = Vec::new();
    // A node that no majority vouches for does not make a client drop anything.
    if changes.resync && !changes.stale {
        deltas.push(Delta::SetAside);
    }
    deltas.extend(changes.account.iter().map(|account| Delta::Account(account.into())));
    deltas.extend(changes.people.iter().map(|person| Delta::Person(person.into())));
    deltas.extend(changes.messages.iter().map(Delta::streamed));
    deltas.extend(changes.deleted.iter().map(Delta::deleted));
    deltas.extend(changes.marks.iter().map(Delta::mark));
    deltas.extend(changes.conversations.iter().map(|summary| Delta::Conversation(summary.into())));
    deltas.push(Delta::Cursor { cursor: changes.cursor, synced: !changes.more });
    deltas
}

/// What a pushed event changes; nothing for those that speak of the connection. `now_ms`: milliseconds since 1970.
#[must_use]
pub fn of_event(event: &Event<'_>, now_ms: u64) -> Vec<Delta> {
    let cursor = |id| Delta::Cursor { cursor: id, synced: false };
    match event {
        Event::Message(message) => vec![Delta::streamed(message), cursor(message.id)],
        Event::Deleted(deleted) => vec![Delta::deleted(deleted), cursor(deleted.id)],
        Event::Mark(moved) => vec![Delta::mark(&moved.mark), cursor(moved.id)],
        Event::Update(changes) => of_changes(changes),
        Event::Typing(typing) => vec![Delta::Typing {
            conversation: typing.conversation,
            user: typing.user,
            until_ms: typing.on.then(|| now_ms.saturating_add(TYPING_TTL_MS)),
        }],
        Event::Presence(presence) => vec![Delta::Presence { user: presence.user, online: presence.online }],
        Event::Nodes(nodes) => vec![Delta::Nodes(nodes.nodes.iter().map(Node::from).collect())],
        Event::Bye(_) => Vec::new(),
    }
}

/// What an answer to `next` changes.
#[must_use]
pub fn of_next(conversation: u64, after: u64, messages: &reply::Messages<'_>) -> Vec<Delta> {
    let mut deltas: Vec<_> = messages
        .messages
        .iter()
        .map(|message| Delta::Message { conversation, message: message.into(), way: Way::Next { after } })
        .collect();
    let last = messages.messages.iter().map(|message| message.number).max().unwrap_or(after);
    deltas.push(Delta::Next { conversation, last, more: messages.more });
    deltas
}

/// What an answer to `history` changes. `after` and `before` are what was asked for, 0 for no bound; `newest` is the
/// conversation's last number.
#[must_use]
pub fn of_history(
    conversation: u64,
    after: u64,
    before: u64,
    newest: u64,
    messages: &reply::Messages<'_>,
) -> Vec<Delta> {
    let mut deltas: Vec<_> = messages
        .messages
        .iter()
        .map(|message| Delta::Message { conversation, message: message.into(), way: Way::History })
        .collect();
    let numbers = || messages.messages.iter().map(|message| message.number);
    let (first, last) = if after > 0 {
        let end = if before > 0 { before - 1 } else { newest };
        (after + 1, if messages.more { numbers().max().unwrap_or(after) } else { end })
    } else {
        let end = if before > 0 { before - 1 } else { newest.max(numbers().max().unwrap_or(0)) };
        (if messages.more { numbers().min().unwrap_or(end + 1) } else { 1 }, end)
    };
    deltas.push(Delta::Covered { conversation, first, last });
    deltas
}
