//! What a conversation's window shows, line by line.

use super::{Conversation, Delivery, Message, Model, Outgoing, Target, Write, WriteState};

/// One line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row<'m> {
    /// A message; with how far it has come, if it is one's own.
    Message(&'m Message, Option<Delivery>),
    /// Messages may be missing between these two numbers, neither included; ask for them.
    Gap {
        /// Behind this one.
        after: u64,
        /// Before this one.
        before: u64,
    },
    /// A message of this device on its way.
    Outgoing(&'m Outgoing, Delivery),
}

impl Model {
    /// All lines of a conversation, oldest first: what is in memory, gaps between, and at the end what is on its way.
    #[must_use]
    pub fn timeline(&self, conversation: u64) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        if let Some(found) = self.conversations.get(&conversation) {
            self.messages(found, &mut rows);
        }
        for outgoing in self.outgoing(conversation) {
            rows.push(Row::Outgoing(outgoing, self.outgoing_delivery(outgoing)));
        }
        rows
    }

    /// How far a message on its way has come.
    #[must_use]
    pub fn outgoing_delivery(&self, outgoing: &Outgoing) -> Delivery {
        match outgoing.state {
            WriteState::Stored { conversation, number } => self.delivery(conversation, number),
            _ => Delivery::Queued,
        }
    }

    /// Messages of this device on their way to a conversation, in their order.
    pub fn outgoing(&self, conversation: u64) -> impl Iterator<Item = &Outgoing> {
        self.outbox.values().filter(move |outgoing| match (&outgoing.state, &outgoing.write) {
            (WriteState::Stored { conversation: stored, .. }, _) => *stored == conversation,
            (_, Write::Send { to: Target::Conversation(to), .. }) => *to == conversation,
            (_, Write::Send { to: Target::Username(username), .. }) => {
                // Shown where it will most likely go; the servers say who is found by the name.
                self.direct_typed(username).is_some_and(|found| found.id == conversation)
            }
            (_, Write::Send { to: Target::Account { user, .. }, .. }) => {
                self.conversation_with(*user).is_some_and(|found| found.id == conversation)
            }
            _ => false,
        })
    }

    /// The direct conversation with somebody of that user name, if there is one.
    #[must_use]
    pub fn direct(&self, username: &str) -> Option<&Conversation> {
        let me = self.account.as_ref().filter(|account| account.username == username).map(|account| account.user);
        self.conversation_with(me.or_else(|| self.person_named(username).map(|person| person.user))?)
    }

    /// The same by what was typed, see [`Model::person_typed`].
    #[must_use]
    pub fn direct_typed(&self, name: &str) -> Option<&Conversation> {
        self.direct(name).or_else(|| self.conversation_with(self.person_typed(name)?.user))
    }

    fn messages<'m>(&'m self, conversation: &'m Conversation, rows: &mut Vec<Row<'m>>) {
        let me = self.me();
        let mut previous = conversation.cleared;
        for (&number, message) in &conversation.messages {
            // Deleted messages fill their place and show nothing. Above the first one in memory more may be on disk.
            if !conversation.spans.covers(previous + 1, number) {
                rows.push(Row::Gap { after: previous, before: number });
            }
            previous = number;
            if !message.deleted {
                let delivery = (message.sender == me).then(|| self.delivery(conversation.id, number));
                rows.push(Row::Message(message, delivery));
            }
        }
        if !conversation.spans.covers(previous + 1, conversation.last_number) {
            rows.push(Row::Gap { after: previous, before: conversation.last_number + 1 });
        }
    }
}
