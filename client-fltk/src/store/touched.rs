//! Which rows a run of deltas changes.

use std::collections::BTreeSet;

use crate::model::Delta;

/// What is to be written again from the model.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Everything of this device goes, before the rest is written.
    pub(super) wipe: bool,
    /// Everything replicated is set aside, before the rest is written.
    pub(super) set_aside: bool,
    /// Messages that came or went in the same run before that.
    pub(super) messages_before: BTreeSet<(u64, u64)>,
    /// Conversations that were cleared in the same run before that, and up to where.
    pub(super) cleared_before: Vec<(u64, u64)>,
    cleared: Vec<(u64, u64)>,
    pub(super) account: bool,
    pub(super) cursor: bool,
    pub(super) people: BTreeSet<u64>,
    pub(super) conversations: BTreeSet<u64>,
    pub(super) messages: BTreeSet<(u64, u64)>,
    pub(super) outbox: BTreeSet<u64>,
    /// Messages came or went, or are known to have, so that outgoing ones may have been seen through.
    pub(super) seen_through: bool,
    pub(super) drafts: BTreeSet<u64>,
}

impl Touched {
    pub(super) fn by(deltas: &[Delta]) -> Self {
        let mut touched = Self::default();
        for delta in deltas {
            touched.add(delta);
        }
        touched
    }

    /// Whether nothing of it is kept on disk.
    pub(super) fn is_nothing(&self) -> bool {
        // What was before `set_aside` is of no account without `set_aside`.
        let Self {
            wipe,
            set_aside,
            account,
            cursor,
            people,
            conversations,
            messages,
            outbox,
            seen_through,
            drafts,
            ..
        } = self;
        !(*wipe || *set_aside || *account || *cursor || *seen_through)
            && people.is_empty()
            && conversations.is_empty()
            && messages.is_empty()
            && outbox.is_empty()
            && drafts.is_empty()
    }

    fn add(&mut self, delta: &Delta) {
        match delta {
            // What was touched before is gone with everything else.
            Delta::Wipe => *self = Self { wipe: true, account: true, cursor: true, ..Self::default() },
            Delta::SetAside => {
                self.set_aside = true;
                self.cursor = true;
                self.people.clear();
                self.conversations.clear();
                self.messages_before.append(&mut self.messages);
                self.cleared_before.append(&mut self.cleared);
            }
            Delta::Account(_) => self.account = true,
            Delta::Person(person) => {
                self.people.insert(person.user);
            }
            Delta::Conversation(summary) | Delta::Opened(summary) => {
                self.people.extend(summary.members.iter().map(|(person, _)| person.user));
                self.conversations.insert(summary.conversation);
                self.cleared.push((summary.conversation, summary.cleared));
                self.seen_through = true;
            }
            Delta::Message { conversation, message, .. } => {
                self.conversations.insert(*conversation);
                self.messages.insert((*conversation, message.number));
                self.seen_through |= message.seq != 0;
            }
            Delta::Deleted { conversation, number } => {
                self.conversations.insert(*conversation);
                self.messages.insert((*conversation, *number));
                self.seen_through = true;
            }
            Delta::Cleared { conversation, upto } => {
                self.conversations.insert(*conversation);
                self.cleared.push((*conversation, *upto));
                self.seen_through = true;
            }
            Delta::Covered { conversation, .. } => {
                self.conversations.insert(*conversation);
                self.seen_through = true;
            }
            Delta::Mark { conversation, .. }
            | Delta::Next { conversation, .. }
            | Delta::ReadHere { conversation, .. } => {
                self.conversations.insert(*conversation);
            }
            Delta::Cursor { .. } => self.cursor = true,
            Delta::Queued(outgoing) => {
                self.outbox.insert(outgoing.key);
            }
            Delta::WriteState { key, .. } | Delta::Dropped { key } => {
                self.outbox.insert(*key);
            }
            Delta::Draft { conversation, .. } => {
                self.drafts.insert(*conversation);
            }
            // Told anew on every connection.
            Delta::Link(_) | Delta::Nodes(_) | Delta::Typing { .. } | Delta::Presence { .. } => {}
        }
    }
}
