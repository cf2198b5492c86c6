//! What the user sees, as plain data, and the only rules by which it changes.
//!
//! Everything that reaches a device becomes a [`Delta`]; [`Model::apply`] takes one in. That is pure: no clock, no socket,
//! no disk. The driver folds deltas into its own model and hands the same ones out, so that a program that folds them too
//! sees the same. What is on disk is written from the driver's model, so that there is one set of rules.
//!
//! In reading order: [`item`] holds people, messages and marks; [`conversation`] what is known of one conversation;
//! [`aside`] what is held of a history that is gone; [`outgoing`] what this device wants written; [`link`] how the connection is; [`delta`] what can change; this file folds
//! it and answers questions; [`timeline`] lists what a conversation's window shows; [`hash`] compares two devices.
//!
//! # Invariants
//!
//! Of a conversation: all held numbers are above `cleared`; `handed <= last_number`; `read >= read_here` is only reached
//! through the node. All folding of marks and numbers is by maximum, so that a change that comes twice changes nothing.

pub mod aside;
pub mod conversation;
pub mod delta;
pub mod hash;
pub mod item;
pub mod link;
mod namesakes;
pub mod outgoing;
pub mod spans;
#[cfg(test)]
mod tests;
pub mod timeline;

use std::collections::{BTreeMap, BTreeSet};

pub use aside::is_aside;
pub use conversation::{Conversation, Delivery};
pub use delta::{Delta, Summary, Way};
pub use item::{Account, Marks, Message, Node, Person, Text};
pub use link::{Link, LinkState, Outage};
pub use outgoing::{Outgoing, Refusal, Target, Write, WriteState};
pub use spans::Spans;
pub use timeline::Row;

use namesakes::Namesakes;
use wire::names::{Pattern, found_by};

/// Title of one's conversation with oneself.
const NOTES: &str = "Notes";

/// Everything this device knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Model {
    /// Who is logged in, or was last; `None` before the first login.
    pub account: Option<Account>,
    /// All conversations.
    pub conversations: BTreeMap<u64, Conversation>,
    /// Everybody met so far, by user id.
    pub people: BTreeMap<u64, Person>,
    /// Writes of this device that are not seen through, by their key.
    pub outbox: BTreeMap<u64, Outgoing>,
    /// What was begun and not sent, by conversation.
    pub drafts: BTreeMap<u64, Text>,
    /// Change number up to which everything is known.
    pub cursor: u64,
    /// Everything that happened was told, and what happens is pushed.
    pub synced: bool,
    /// How the connection is.
    pub link: Link,
    /// The cluster's nodes.
    pub nodes: Vec<Node>,
    online: BTreeSet<u64>,
    typing: BTreeMap<(u64, u64), u64>,
    namesakes: Namesakes,
}

impl Model {
    /// Own user id; 0 before the first login.
    #[must_use]
    pub fn me(&self) -> u64 {
        self.account.as_ref().map_or(0, |account| account.user)
    }

    /// Unread messages of a conversation; 0 if there is none of that id.
    #[must_use]
    pub fn unread(&self, conversation: u64) -> u64 {
        self.conversations.get(&conversation).map_or(0, |conversation| conversation.unread(self.me()))
    }

    /// Unread messages in all.
    #[must_use]
    pub fn unread_total(&self) -> u64 {
        let me = self.me();
        self.conversations.values().map(|conversation| conversation.unread(me)).sum()
    }

    /// How far a message of one's own has come.
    #[must_use]
    pub fn delivery(&self, conversation: u64, number: u64) -> Delivery {
        match self.conversations.get(&conversation) {
            Some(found) => {
                found.delivery(number, self.me(), |user| self.people.get(&user).is_some_and(|person| person.gone))
            }
            None => Delivery::Stored,
        }
    }

    /// Ids of all conversations, newest message first; ones without a message come last.
    #[must_use]
    pub fn newest_first(&self) -> Vec<u64> {
        let mut ids: Vec<_> = self
            .conversations
            .values()
            .map(|conversation| (conversation.newest().map_or(0, |message| message.id), conversation.id))
            .collect();
        ids.sort_unstable_by(|left, right| right.cmp(left));
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Somebody by user name. A name that somebody gone had before does not find them.
    #[must_use]
    pub fn person_named(&self, username: &str) -> Option<&Person> {
        self.people.values().find(|person| !person.gone && !is_aside(person.user) && person.username == username)
    }

    /// Somebody by what was typed: the user name to the letter, or else the only one known here that is found by it.
    #[must_use]
    pub fn person_typed(&self, name: &str) -> Option<&Person> {
        self.person_named(name).or_else(|| {
            let key = found_by(name);
            let people = self.namesakes.of(&key).filter_map(|user| self.people.get(&user));
            let mut found = people.filter(|person| found_by(&person.username) == key);
            found.next().filter(|_| found.next().is_none())
        })
    }

    /// Whether a conversation is one that is looked for: by its title, or by a name of somebody else in it. The rule is that of
    /// the servers' search for people.
    #[must_use]
    pub fn fits(&self, conversation: u64, pattern: &Pattern) -> bool {
        let me = self.me();
        let members = self.conversations.get(&conversation).into_iter().flat_map(|found| found.members.keys());
        let mut others = members.filter(|&&user| user != me).filter_map(|user| self.people.get(user));
        others.any(|person| pattern.matches(&person.username) || pattern.matches(&person.nickname))
            || pattern.matches(&self.title(conversation))
    }

    /// The direct conversation with somebody, or the notebook with oneself.
    #[must_use]
    pub fn conversation_with(&self, user: u64) -> Option<&Conversation> {
        let me = self.me();
        let size = if user == me { 1 } else { 2 };
        self.conversations.values().find(|conversation| {
            let members = &conversation.members;
            !is_aside(conversation.id)
                && members.len() == size
                && members.contains_key(&me)
                && members.contains_key(&user)
        })
    }

    /// The name to show for somebody: the nickname, with the user name where it could be taken for somebody else's.
    #[must_use]
    pub fn name(&self, user: u64) -> String {
        let (username, nickname) = match (&self.account, self.people.get(&user)) {
            (Some(account), _) if account.user == user => (&account.username, &account.nickname),
            // Who was set aside is mostly somebody who is here as well.
            (_, Some(person)) if is_aside(user) => return person.shown(),
            (_, Some(person)) => (&person.username, &person.nickname),
            (_, None) => return format!("user {user}"),
        };
        // What stands behind a name in brackets is ours to say.
        let name = match nickname.contains(['(', ')']) || self.namesakes.is_shared(user) {
            true => format!("{nickname} (@{username})"),
            false => nickname.clone(),
        };
        let is_gone = user != self.me() && self.people.get(&user).is_some_and(|person| person.gone);
        if is_gone { format!("{name} (deleted)") } else { name }
    }

    /// What to call a conversation: the others in it.
    #[must_use]
    pub fn title(&self, conversation: u64) -> String {
        let me = self.me();
        let Some(found) = self.conversations.get(&conversation) else { return format!("#{conversation}") };
        let others: Vec<_> = found.members.keys().filter(|&&user| user != me).map(|&user| self.name(user)).collect();
        let title = if others.is_empty() { NOTES.to_owned() } else { others.join(", ") };
        if is_aside(conversation) { format!("{title} (kept here)") } else { title }
    }

    /// Whether somebody is connected, as far as was told.
    #[must_use]
    pub fn is_online(&self, user: u64) -> bool {
        // A node tells with a delay that somebody left, and that an account ended at once.
        self.online.contains(&user) && !self.people.get(&user).is_some_and(|person| person.gone)
    }

    /// Who types in a conversation at this moment (milliseconds since 1970).
    pub fn typing(&self, conversation: u64, now_ms: u64) -> impl Iterator<Item = u64> {
        self.typing
            .range((conversation, 0)..=(conversation, u64::MAX))
            .filter(move |&(_, &until_ms)| now_ms < until_ms)
            .map(|(&(_, user), _)| user)
    }

    /// The marks that the node does not know yet.
    pub fn marks_due(&self) -> impl Iterator<Item = (u64, Marks)> {
        let me = self.me();
        self.conversations.values().filter_map(move |conversation| Some((conversation.id, conversation.marks_due(me)?)))
    }

    /// Takes one change in.
    pub fn apply(&mut self, delta: &Delta) {
        match delta {
            Delta::Wipe => *self = Self { link: self.link.clone(), nodes: self.nodes.clone(), ..Self::default() },
            Delta::SetAside => {
                self.set_aside();
                self.note_names();
            }
            Delta::Account(account) => {
                self.account = Some(account.clone());
                self.note_names();
            }
            Delta::Person(person) => self.person(person),
            Delta::Conversation(summary) => self.summary(summary),
            Delta::Opened(summary) => {
                if !self.conversations.contains_key(&summary.conversation) {
                    self.summary(summary);
                }
            }
            Delta::Message { conversation, message, way } => self.message(*conversation, message, *way),
            Delta::Deleted { conversation, number } => {
                let me = self.me();
                self.conversation(*conversation).deleted(*number, me);
                self.seen_through(|stored| stored == (*conversation, *number));
            }
            Delta::Mark { conversation, user, marks } => self.conversation(*conversation).mark(*user, *marks),
            Delta::Covered { conversation, first, last } => {
                self.conversation(*conversation).spans.add(*first, *last);
                self.seen_through(|(id, number)| id == *conversation && (*first..=*last).contains(&number));
            }
            Delta::Next { conversation, last, more } => self.conversation(*conversation).next_done(*last, *more),
            Delta::Cleared { conversation, upto } => self.cleared(*conversation, *upto),
            Delta::Cursor { cursor, synced } => {
                self.cursor = self.cursor.max(*cursor);
                self.synced |= *synced;
            }
            Delta::ReadHere { conversation, upto } => {
                let conversation = self.conversation(*conversation);
                conversation.read_here = conversation.read_here.max((*upto).min(conversation.last_number));
            }
            Delta::Queued(outgoing) => {
                self.outbox.insert(outgoing.key, outgoing.clone());
            }
            Delta::WriteState { key, seq, state } => self.write_state(*key, *seq, state),
            Delta::Dropped { key } => {
                self.outbox.remove(key);
            }
            Delta::Draft { conversation, text } => {
                if text.is_empty() {
                    self.drafts.remove(conversation);
                } else {
                    self.drafts.insert(*conversation, text.clone());
                }
            }
            Delta::Link(link) => {
                // Who is there and who types was told by a connection that is gone.
                if !matches!(link.state, LinkState::Online) {
                    self.online.clear();
                    self.typing.clear();
                    self.synced = false;
                }
                self.link = link.clone();
            }
            Delta::Nodes(nodes) => self.nodes.clone_from(nodes),
            Delta::Typing { conversation, user, until_ms } => match until_ms {
                Some(until_ms) => {
                    self.typing.insert((*conversation, *user), *until_ms);
                }
                None => {
                    self.typing.remove(&(*conversation, *user));
                }
            },
            Delta::Presence { user, online } => {
                if *online {
                    self.online.insert(*user);
                } else {
                    self.online.remove(user);
                }
            }
        }
    }

    /// Takes several in.
    pub fn apply_all<'d>(&mut self, deltas: impl IntoIterator<Item = &'d Delta>) {
        for delta in deltas {
            self.apply(delta);
        }
    }

    /// Lets go of old messages that were read, in every conversation but `open`, so that memory stays bounded. They are
    /// on disk.
    pub fn trim(&mut self, open: Option<u64>) {
        let me = self.me();
        for conversation in self.conversations.values_mut().filter(|conversation| Some(conversation.id) != open) {
            conversation.trim(me);
        }
    }

    fn conversation(&mut self, id: u64) -> &mut Conversation {
        self.conversations.entry(id).or_insert_with(|| Conversation::new(id))
    }

    fn person(&mut self, person: &Person) {
        if self.people.get(&person.user) == Some(person) {
            return;
        }
        self.people.insert(person.user, person.clone());
        // The account knows one's own names better.
        if self.account.as_ref().is_none_or(|own| own.user != person.user) {
            self.namesakes.person(person);
        }
    }

    /// To be called by whoever has put people here by hand.
    pub(crate) fn note_names(&mut self) {
        let mut namesakes = Namesakes::default();
        for person in self.people.values().filter(|person| !is_aside(person.user)) {
            namesakes.person(person);
        }
        if let Some(account) = &self.account {
            namesakes.note(account.user, &account.username, &account.nickname);
        }
        self.namesakes = namesakes;
    }

    fn summary(&mut self, summary: &Summary) {
        for (person, _) in &summary.members {
            self.person(person);
        }
        let me = self.me();
        self.conversation(summary.conversation).summary(summary, me);
        let (id, upto) = (summary.conversation, summary.cleared);
        self.seen_through(|(conversation, number)| conversation == id && number <= upto);
    }

    fn message(&mut self, conversation: u64, message: &Message, way: Way) {
        let me = self.me();
        let held = Message { seq: 0, ..message.clone() };
        self.conversation(conversation).message(held, way, me);
        if let Some(previous) = self.typing.get_mut(&(conversation, message.sender))
            && way == Way::Stream
        {
            // Who has sent it does not type it any more.
            *previous = 0;
        }
        if message.sender == me && message.seq != 0 {
            // The answer may have come before, come later, or have been lost.
            let sent = |outgoing: &Outgoing| outgoing.seq == message.seq && outgoing.write.is_send();
            if let Some(key) = self.outbox.values().find(|outgoing| sent(outgoing)).map(|outgoing| outgoing.key) {
                self.outbox.remove(&key);
            }
        }
    }

    fn cleared(&mut self, id: u64, upto: u64) {
        self.conversation(id).clear(upto);
        self.seen_through(|(conversation, number)| conversation == id && number <= upto);
    }

    fn write_state(&mut self, key: u64, seq: u64, state: &WriteState) {
        let me = self.me();
        let Some(outgoing) = self.outbox.get_mut(&key) else { return };
        outgoing.seq = seq;
        outgoing.state = state.clone();
        // The message itself may have come before the reply.
        if let WriteState::Stored { conversation, number } = *state {
            let held = self.conversations.get(&conversation).is_some_and(|found| {
                // Also where it is known to be gone: nothing says any more whose it was.
                let message = found.messages.get(&number);
                found.cleared >= number
                    || found.spans.covers(number, number)
                    || message.is_some_and(|message| message.sender == me || message.deleted)
            });
            if held {
                self.outbox.remove(&key);
            }
        }
    }

    /// Removes what the outbox showed in place of messages that are now there, or gone again.
    fn seen_through(&mut self, is_done: impl Fn((u64, u64)) -> bool) {
        self.outbox.retain(|_, outgoing| match outgoing.state {
            WriteState::Stored { conversation, number } => !is_done((conversation, number)),
            _ => true,
        });
    }
}
