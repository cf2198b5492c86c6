//! What this device held of a history that the servers do not have any more, after a restored backup for example.
//!
//! It is set aside: each conversation with what is held of it, and the people in it, go on under ids of this device's own,
//! from [`ASIDE`] on, which no server gives out. They are read like any other and never asked for, written to or marked.

use super::{Conversation, Marks, Message, Model, Person};

/// Ids from here on are of what was set aside. A cluster counts from 1 and would take thousands of years to come here; every
/// program that reads JSON can hold them without rounding, and a line of the window's lists has room for them.
pub const ASIDE: u64 = 1 << 47;

/// Whether a conversation or a person is of what was set aside.
#[must_use]
pub const fn is_aside(id: u64) -> bool {
    id >= ASIDE
}

/// The id under which something goes on.
fn aside(id: u64) -> u64 {
    id | ASIDE
}

impl Model {
    /// Sets everything aside that is held. What was before stays where it is.
    pub(super) fn set_aside(&mut self) {
        let me = self.me();
        let held = std::mem::take(&mut self.conversations);
        let people = std::mem::take(&mut self.people);
        self.people.extend(people.into_values().map(|person| {
            let user = aside(person.user);
            (user, Person { user, ..person })
        }));
        for (id, conversation) in held {
            if is_aside(id) {
                self.conversations.entry(id).or_default().join(conversation);
            } else if let Some(kept) = conversation.aside(me) {
                let joined = self.conversations.entry(kept.id).or_insert_with(|| Conversation::new(kept.id));
                joined.join(kept);
            }
        }
        self.cursor = 0;
        self.synced = false;
    }
}

impl Conversation {
    /// What goes on of it; `None` if nothing is held.
    fn aside(self, me: u64) -> Option<Self> {
        let user = |user| if user == me { me } else { aside(user) };
        let messages = self.messages.into_iter().filter(|(_, message)| !message.deleted);
        let messages = messages.map(|(number, message)| (number, Message { sender: user(message.sender), ..message }));
        let last = self.last_number;
        let all_read = Marks { delivered: last, read: last };
        let members = self.members.into_iter().map(|(id, marks)| (user(id), if id == me { all_read } else { marks }));
        let kept = Self {
            id: aside(self.id),
            members: members.collect(),
            last_number: last,
            cleared: self.cleared,
            handed: last,
            read_here: last,
            told: last,
            messages: messages.collect(),
            spans: self.spans,
            ..Self::default()
        };
        (!kept.messages.is_empty()).then_some(kept)
    }

    /// Takes in what was set aside later; what is here already stays.
    fn join(&mut self, later: Self) {
        let is_new = self.messages.is_empty();
        self.id = later.id;
        self.cleared = if is_new { later.cleared } else { self.cleared.min(later.cleared) };
        for number in [&mut self.last_number, &mut self.handed, &mut self.read_here, &mut self.told] {
            *number = (*number).max(later.last_number);
        }
        for (user, marks) in later.members {
            let known = self.members.entry(user).or_default();
            *known = known.max(marks);
        }
        for (number, message) in later.messages {
            self.messages.entry(number).or_insert(message);
        }
        for (first, last) in later.spans.iter() {
            self.spans.add(first, last);
        }
    }
}
