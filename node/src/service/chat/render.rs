//! From rows to messages. What is borrowed is borrowed from the rows.

use wire::chat::item::{Conversation, Deleted, Device, Mark, Member, Message, Person};
use wire::chat::reply::{Account, Changes, Conversations, Devices, Messages, Users};

use crate::storage::query::conversations::Summary;
use crate::storage::query::devices::DeviceInfo;
use crate::storage::query::people::{self, Profile};
use crate::storage::query::sync::{Deletion, MovedMarks, SyncChunk};
use crate::storage::query::timeline::StoredMessage;

/// A conversation. `behind`: its unread messages were not all handed over.
pub(super) fn summary(summary: &Summary, behind: bool, device: u64) -> Conversation<'_> {
    Conversation {
        conversation: summary.conversation,
        members: summary
            .members
            .iter()
            .map(|member| Member { person: person(&member.person), delivered: member.delivered, read: member.read })
            .collect(),
        last_number: summary.last_number,
        unread: summary.unread,
        cleared: summary.cleared,
        behind,
        newest: summary.newest.as_ref().map(|newest| message(newest, device)),
    }
}

pub(super) fn conversations(summaries: &[Summary], device: u64, more: bool, stale: bool) -> Conversations<'_> {
    // A list tells nothing about what was handed over; the newest message is a preview.
    let conversations = summaries.iter().map(|one| summary(one, false, device)).collect();
    Conversations { conversations, more, stale }
}

/// What happened, in one chunk.
pub(super) fn changes(chunk: &SyncChunk, device: u64, stale: bool) -> Changes<'_> {
    let behind = |conversation| chunk.next.behind.contains(&conversation);
    Changes {
        conversations: chunk.conversations.iter().map(|one| summary(one, behind(one.conversation), device)).collect(),
        messages: chunk.messages.iter().map(|one| message(one, device)).collect(),
        deleted: chunk
            .deleted
            .iter()
            .map(|&Deletion { id, conversation, number }| Deleted { id, conversation, number })
            .collect(),
        marks: chunk
            .marks
            .iter()
            .map(|&MovedMarks { conversation, user, delivered, read }| Mark { conversation, user, delivered, read })
            .collect(),
        people: chunk.people.iter().map(person).collect(),
        // Whether that is old is told of the whole.
        account: chunk.account.as_ref().map(|profile| account(profile, false)),
        cursor: chunk.next.cursor,
        more: chunk.more,
        resync: chunk.resync,
        stale,
    }
}

pub(super) fn account(profile: &Profile, stale: bool) -> Account<'_> {
    Account {
        user: profile.user,
        username: &profile.username,
        nickname: &profile.nickname,
        view_limit: u64::from(profile.view_limit),
        stale,
    }
}

fn person(person: &people::Person) -> Person<'_> {
    Person {
        user: person.user,
        username: &person.username,
        nickname: if person.nickname == person.username { "" } else { &person.nickname },
        gone: !person.live,
    }
}

pub(super) fn people(people: &[people::Person], total: u64, stale: bool) -> Users<'_> {
    Users { people: people.iter().map(person).collect(), total, stale }
}

pub(super) fn devices(devices: &[DeviceInfo], own: u64, stale: bool) -> Devices<'_> {
    let devices = devices.iter().map(|known| Device {
        device: known.device,
        device_name: &known.name,
        created_ms: known.created_ms,
        seen_ms: known.seen_ms,
        own: known.device == own,
    });
    Devices { devices: devices.collect(), stale }
}

fn message(message: &StoredMessage, device: u64) -> Message<'_> {
    Message {
        id: message.id,
        conversation: message.conversation,
        number: message.number,
        sender: message.sender,
        time_ms: message.time_ms,
        text: &message.text,
        seq: message.seq_for(device),
    }
}

/// Messages that answer `next` or `history`.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) messages: Vec<StoredMessage>,
    /// Whose own writes are marked as such.
    pub(super) device: u64,
    pub(super) stale: bool,
}

impl Shown {
    pub(super) fn told(&self, more: bool, unread: u64) -> Messages<'_> {
        let messages = self.messages.iter().map(|one| message(one, self.device)).collect();
        Messages { messages, more, unread, stale: self.stale }
    }
}
