//! What is known of one conversation.
//!
//! # Unread
//!
//! The rule is the node's: messages of others above the read mark that are not deleted. Messages that this device holds
//! are counted one by one, so that marks, deletions and doubles need no bookkeeping; what the node's last summary counted
//! and this device does not hold is `unheld`, which shrinks as those messages come.

use std::collections::BTreeMap;

use super::{Marks, Message, Spans, Summary, Way};
use crate::limits::{MEMORY_MESSAGES_MAX, TAIL_MESSAGES};

/// How far a message of one's own has come. In groups delivered and read speak of all members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// On this device alone.
    Queued,
    /// Kept by the cluster.
    Stored,
    /// On a device of everybody it is for.
    Delivered,
    /// Read by everybody it is for.
    Read,
}

/// One conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// Its id.
    pub id: u64,
    /// Who is in it, oneself included, and how far they have come.
    pub members: BTreeMap<u64, Marks>,
    /// Number of its newest message.
    pub last_number: u64,
    /// Messages up to this number are gone from one's own view.
    pub cleared: u64,
    /// The node keeps unread messages back until they are asked for.
    pub behind: bool,
    /// Messages up to this number were handed over in order.
    pub handed: u64,
    /// Messages up to this number were read on this device; the node may not know yet.
    pub read_here: u64,
    /// The newest message as the last summary told it, cut short.
    pub preview: Option<Message>,
    /// Messages held in memory, by number.
    pub messages: BTreeMap<u64, Message>,
    /// Numbers known without holes.
    pub spans: Spans,
    /// Unread messages that the node counted and this device does not hold.
    pub unheld: u64,
    /// Number up to which `unheld` counts, and behind which a pushed message is next.
    pub told: u64,
}

impl Conversation {
    /// One of which nothing is known yet.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// How far `user` has read, as far as the node knows.
    #[must_use]
    pub fn read_by(&self, user: u64) -> u64 {
        self.members.get(&user).map_or(0, |marks| marks.read)
    }

    /// How far `me` has read, on this device or another.
    #[must_use]
    pub fn read(&self, me: u64) -> u64 {
        self.read_by(me).max(self.read_here)
    }

    /// Unread messages.
    #[must_use]
    pub fn unread(&self, me: u64) -> u64 {
        let read = self.read(me);
        self.held_unread(read, me) + if read >= self.last_number { 0 } else { self.unheld }
    }

    /// Whether there are unread messages to be asked for.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind || self.unheld > 0
    }

    /// Behind which number the next unread messages are to be asked for.
    #[must_use]
    pub fn next_after(&self, me: u64) -> u64 {
        self.handed.max(self.read_by(me)).max(self.cleared)
    }

    /// Number of the newest message that can be marked as read: the last one that was handed over in order, or simply the
    /// newest when nothing is kept back.
    #[must_use]
    pub fn readable(&self) -> u64 {
        if self.is_behind() { self.handed } else { self.last_number }
    }

    /// The newest message that is not deleted, as far as is known.
    #[must_use]
    pub fn newest(&self) -> Option<&Message> {
        let held = self.messages.values().rev().find(|message| !message.deleted);
        match (held, &self.preview) {
            (Some(held), Some(preview)) if preview.number > held.number => Some(preview),
            (None, preview) => preview.as_ref(),
            (held, _) => held,
        }
    }

    /// How far a message of one's own has come. In a notebook there is nobody to wait for, so it counts as read. People
    /// whose account is gone are not waited for either, unless nobody else is left.
    pub(super) fn delivery(&self, number: u64, me: u64, is_gone: impl Fn(u64) -> bool) -> Delivery {
        let others = || self.members.iter().filter(|&(&user, _)| user != me);
        let (mut delivered, mut read, mut awaited) = (true, true, false);
        for (_, marks) in others().filter(|&(&user, _)| !is_gone(user)) {
            awaited = true;
            delivered &= marks.delivered >= number;
            read &= marks.read >= number;
        }
        match awaited {
            true if read => Delivery::Read,
            true if delivered => Delivery::Delivered,
            true => Delivery::Stored,
            false if others().next().is_none() => Delivery::Read,
            false if others().all(|(_, marks)| marks.read >= number) => Delivery::Read,
            false => Delivery::Stored,
        }
    }

    /// What the node does not know yet about how far `me` has come here.
    pub(super) fn marks_due(&self, me: u64) -> Option<Marks> {
        let known = self.members.get(&me)?;
        // In a notebook nobody waits to hear of it.
        if self.members.len() == 1 {
            return None;
        }
        let delivered = self
            .messages
            .range(..=self.handed)
            .rev()
            .find(|(_, message)| message.sender != me && !message.deleted)
            .map_or(0, |(&number, _)| number);
        let due = Marks {
            delivered: if delivered > known.delivered { delivered } else { 0 },
            read: if self.read_here > known.read { self.read_here } else { 0 },
        };
        (due != Marks::default()).then_some(due)
    }

    pub(super) fn message(&mut self, message: Message, way: Way, me: u64) {
        let number = message.number;
        if number == 0 || number <= self.cleared {
            return;
        }
        let new = !self.messages.contains_key(&number);
        let unread = message.sender != me && !message.deleted && number > self.read_by(me);
        if new && unread && number <= self.told {
            self.unheld = self.unheld.saturating_sub(1);
        }
        // A deletion that came first is not undone by an older answer.
        let deleted_before = self.messages.get(&number).is_some_and(|held| held.deleted);
        if !deleted_before {
            self.messages.insert(number, message);
        }
        self.last_number = self.last_number.max(number);
        match way {
            Way::Stream => {
                let before = if (1..number).contains(&self.told) { self.told } else { number - 1 };
                self.told = self.told.max(number);
                // In a first sync a summary comes before the messages that it counts; those come in order too.
                if self.behind {
                    self.spans.add(number, number);
                } else {
                    self.handed = self.handed.max(number);
                    self.spans.add(before + 1, number);
                }
            }
            Way::Next { after } => {
                self.handed = self.handed.max(number);
                self.spans.add(after + 1, number);
            }
            Way::History => self.spans.add(number, number),
        }
    }

    pub(super) fn deleted(&mut self, number: u64, me: u64) {
        self.last_number = self.last_number.max(number);
        if let Some(message) = self.messages.get_mut(&number) {
            message.deleted = true;
            message.text.0.clear();
        } else if number > self.cleared && number >= self.tail_from(me) {
            // Its place is kept, so that an answer which was on its way does not bring it back.
            self.spans.add(number, number);
            self.messages.insert(number, Message { number, deleted: true, ..Message::default() });
        }
        if self.preview.as_ref().is_some_and(|preview| preview.number == number) {
            self.preview = None;
        }
    }

    pub(super) fn mark(&mut self, user: u64, marks: Marks) {
        let known = self.members.entry(user).or_default();
        *known = known.max(marks);
    }

    pub(super) fn summary(&mut self, summary: &Summary, me: u64) {
        let members = summary.members.iter().map(|(person, marks)| {
            (person.user, self.members.get(&person.user).map_or(*marks, |known| known.max(*marks)))
        });
        self.members = members.collect();
        self.clear(summary.cleared);
        self.last_number = self.last_number.max(summary.last_number);
        self.told = self.told.max(summary.last_number);
        self.behind = summary.behind;
        self.preview.clone_from(&summary.newest);
        self.unheld = summary.unread.saturating_sub(self.held_unread(self.read_by(me), me));
        if !self.is_behind() {
            self.handed = self.handed.max(summary.last_number);
        }
    }

    pub(super) fn next_done(&mut self, last: u64, more: bool) {
        self.handed = self.handed.max(last);
        if !more {
            self.behind = false;
            self.unheld = 0;
        }
    }

    pub(super) fn clear(&mut self, upto: u64) {
        self.cleared = self.cleared.max(upto);
        self.messages = self.messages.split_off(&(self.cleared + 1));
        self.spans.cut(self.cleared);
        if self.preview.as_ref().is_some_and(|preview| preview.number <= self.cleared) {
            self.preview = None;
        }
    }

    /// Lets go of the oldest messages once there are many, never of unread ones nor of the tail.
    pub(super) fn trim(&mut self, me: u64) {
        if self.messages.len() > MEMORY_MESSAGES_MAX {
            let first = self.tail_from(me);
            self.messages = self.messages.split_off(&first);
        }
    }

    /// The number from which on messages are always in memory.
    #[must_use]
    pub fn tail_from(&self, me: u64) -> u64 {
        let tail = self.last_number.saturating_sub(TAIL_MESSAGES as u64);
        tail.min(self.read_by(me).max(self.cleared)) + 1
    }

    fn held_unread(&self, read: u64, me: u64) -> u64 {
        let unread = |message: &&Message| message.sender != me && !message.deleted;
        self.messages.range(read.saturating_add(1)..).map(|(_, message)| message).filter(unread).count() as u64
    }
}
