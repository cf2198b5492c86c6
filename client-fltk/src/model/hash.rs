//! A digest of what is replicated, so that two devices of a user can be compared.

use sha2::{Digest, Sha256};

use super::{Model, is_aside};
use crate::limits::TAIL_MESSAGES;

impl Model {
    /// SHA-256 over everything that every device of this user has when it knows everything: the account; of each
    /// conversation its members, their names and marks, the number of its newest message, what was cleared, the number of
    /// unread messages; and those of its last [`TAIL_MESSAGES`] numbers that this device holds.
    ///
    /// Two devices that were handed the same messages and have the same cursor hash the same. The outbox, drafts,
    /// presence, the link, read marks that the node does not know yet and what was set aside are no part of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Canonical(Sha256::new());
        if let Some(account) = &self.account {
            hash.number(account.user);
            hash.text(&account.username);
            hash.text(&account.nickname);
            hash.number(account.view_limit);
        }
        for conversation in self.conversations.values().filter(|one| !is_aside(one.id)) {
            hash.number(conversation.id);
            hash.number(conversation.last_number);
            hash.number(conversation.cleared);
            hash.number(conversation.unread(self.me()));
            hash.number(conversation.members.len() as u64);
            for (&user, marks) in &conversation.members {
                hash.number(user);
                hash.number(marks.delivered);
                hash.number(marks.read);
                // One's own names are told with the account.
                if user != self.me()
                    && let Some(person) = self.people.get(&user)
                {
                    hash.text(&person.username);
                    hash.text(&person.nickname);
                    hash.number(u64::from(person.gone));
                }
            }
            let tail = conversation.last_number.saturating_sub(TAIL_MESSAGES as u64) + 1;
            let held: Vec<_> = conversation.messages.range(tail..).filter(|(_, message)| !message.deleted).collect();
            hash.number(held.len() as u64);
            for (&number, message) in held {
                hash.number(number);
                hash.number(message.id);
                hash.number(message.sender);
                hash.number(message.time_ms);
                hash.text(&message.text);
            }
        }
        hash.0.finalize().into()
    }
}

/// Numbers in eight bytes and texts behind their length: no two different sequences give the same bytes.
struct Canonical(Sha256);

impl Canonical {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }
}
