//! The open conversation: what of it is in memory, what is chosen in it, and in which order its lines follow.
//!
//! A conversation may have a million messages. In memory are its newest ones, and what the person looks at; what lies
//! between is a [`Line::Gap`] that is filled when it comes into sight.

use std::collections::BTreeSet;

use client_fltk::model::{Conversation, Delivery, Message, Model, Outgoing, Spans, Write, WriteState};

/// Messages that are asked for at a time: some screens full.
pub(crate) const PAGE: u64 = 200;

/// Messages in memory at which those far from what is looked at are let go. They are on disk.
const HELD_MAX: usize = 4_000;

/// Messages that are kept on each side of what is looked at then.
const KEPT: u64 = 1_000;

/// The open conversation.
#[derive(Debug, Default)]
pub(crate) struct Chat {
    /// Which.
    pub(crate) id: u64,
    /// Numbers of which all that there is, is in memory.
    pub(crate) loaded: Spans,
    /// The first message that was unread when it was opened; a line is drawn above it.
    pub(crate) new_from: Option<u64>,
    /// How many were unread then.
    pub(crate) new_count: u64,
    /// Messages are being chosen.
    pub(crate) choosing: bool,
    /// Those that are.
    pub(crate) chosen: BTreeSet<u64>,
    /// Messages below this number are asked for and have not come.
    pub(crate) asked: Option<u64>,
    /// What is missing is on no disk here, and no server answers.
    pub(crate) out_of_reach: bool,
    /// Unread messages are asked for and have not come.
    pub(crate) next_asked: bool,
}

/// One line of the window, told by what it is, so that it is found again after changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Line {
    /// A message, by its number.
    Message(u64),
    /// Messages may be missing between these two numbers, neither included.
    Gap {
        /// Behind this one.
        after: u64,
        /// Before this one.
        before: u64,
    },
    /// Unread messages are kept back between these two numbers.
    KeptBack {
        /// Behind this one.
        after: u64,
        /// Before this one.
        before: u64,
    },
    /// A message on its way, by its key.
    Outgoing(u64),
}

impl Chat {
    /// A conversation that is opened now.
    pub(crate) fn open(model: &Model, id: u64) -> Self {
        let mut chat = Self { id, ..Self::default() };
        let me = model.me();
        if let Some(found) = model.conversations.get(&id) {
            let read = found.read(me).max(found.cleared);
            let first = found.messages.range(read + 1..).find(|(_, message)| message.sender != me && !message.deleted);
            chat.new_from = first.map(|(&number, _)| number);
            chat.new_count = found.unread(me);
        }
        chat.refresh(model);
        chat
    }

    /// Nothing is chosen, and nothing can be.
    pub(crate) fn choose_no_more(&mut self) {
        self.choosing = false;
        self.chosen.clear();
    }

    /// Something has changed in the model: its newest messages are always in memory.
    pub(crate) fn refresh(&mut self, model: &Model) {
        let Some(found) = model.conversations.get(&self.id) else {
            self.loaded = Spans::default();
            return;
        };
        let tail = found.tail_from(model.me()).max(found.cleared + 1);
        for (first, last) in found.spans.iter().filter(|&(_, last)| last >= tail) {
            self.loaded.add(first.max(tail), last);
        }
        self.loaded.cut(found.cleared);
        let is_there = |number: &u64| found.messages.get(number).is_some_and(|message| !message.deleted);
        self.chosen.retain(is_there);
    }

    /// Messages below `before` have come; `numbers` are theirs, `more` says that there are older ones.
    pub(crate) fn arrived(&mut self, found: &Conversation, before: u64, numbers: &[u64], more: bool) {
        let end = if before == 0 { found.last_number } else { before - 1 };
        let first = match numbers.iter().min() {
            _ if !more => found.cleared + 1,
            Some(&first) => first,
            // A page of deleted messages only.
            None => (end + 1).saturating_sub(PAGE).max(found.cleared + 1),
        };
        self.loaded.add(first, end);
    }

    /// Lets go of messages far from those that are looked at, once there are many.
    pub(crate) fn let_go(&mut self, model: &mut Model, first: u64, last: u64) {
        let me = model.me();
        let Some(found) = model.conversations.get_mut(&self.id) else { return };
        if found.messages.len() <= HELD_MAX {
            return;
        }
        let tail = found.tail_from(me);
        let kept = first.saturating_sub(KEPT)..=last.saturating_add(KEPT);
        found.messages.retain(|number, _| *number >= tail || kept.contains(number));
        let inside = |(start, end): (u64, u64)| {
            let near = (start.max(*kept.start()), end.min(*kept.end()));
            [near, (start.max(tail), end)].into_iter().filter(|(start, end)| start <= end)
        };
        self.loaded = Spans::from_ranges(self.loaded.iter().flat_map(inside).collect::<Vec<_>>());
    }

    /// The line above this one; `None`: it is the first.
    pub(crate) fn above(&self, model: &Model, line: Line) -> Option<Line> {
        let found = model.conversations.get(&self.id);
        match line {
            Line::Outgoing(key) => match model.outgoing(self.id).filter(|one| one.key < key).last() {
                Some(outgoing) => Some(Line::Outgoing(outgoing.key)),
                None => self.above_number(found?, found?.last_number + 1),
            },
            Line::Message(number) => self.above_number(found?, number),
            Line::Gap { after, .. } | Line::KeptBack { after, .. } => {
                let found = found?;
                if after <= found.cleared { None } else { self.above_number(found, after + 1) }
            }
        }
    }

    /// The line below this one; `None`: it is the last.
    pub(crate) fn below(&self, model: &Model, line: Line) -> Option<Line> {
        let found = model.conversations.get(&self.id);
        let outgoing = |above: Option<u64>| {
            let mut all = model.outgoing(self.id);
            all.find(|one| above.is_none_or(|key| one.key > key)).map(|one| Line::Outgoing(one.key))
        };
        match line {
            Line::Outgoing(key) => outgoing(Some(key)),
            Line::Message(number) => self.below_number(found?, number).or_else(|| outgoing(None)),
            Line::Gap { before, .. } | Line::KeptBack { before, .. } => {
                let found = found?;
                let next = (before <= found.last_number).then(|| self.below_number(found, before - 1)).flatten();
                next.or_else(|| outgoing(None))
            }
        }
    }

    /// The last line of all.
    pub(crate) fn last(&self, model: &Model) -> Option<Line> {
        let outgoing = model.outgoing(self.id).last().map(|one| Line::Outgoing(one.key));
        outgoing.or_else(|| {
            let found = model.conversations.get(&self.id)?;
            self.above_number(found, found.last_number + 1)
        })
    }

    /// The message of that number, or what is in its place.
    pub(crate) fn at(&self, model: &Model, number: u64) -> Option<Line> {
        let found = model.conversations.get(&self.id)?;
        match self.above_number(found, number + 1) {
            None => self.below_number(found, number.max(found.cleared)),
            // All of the hole, also what of it is below this number.
            Some(Line::Gap { after, .. } | Line::KeptBack { after, .. }) if !self.loaded.covers(number, number) => {
                self.below_number(found, after)
            }
            line => line,
        }
    }

    /// Below which number messages are to be asked for, so that the one of that number comes, with some on both sides;
    /// `None` if it is in memory, or there is none.
    pub(crate) fn needed_for(&self, model: &Model, number: u64) -> Option<u64> {
        let found = model.conversations.get(&self.id)?;
        let is_there = number > found.cleared && number <= found.last_number;
        let is_missing = is_there && !self.loaded.covers(number, number);
        (is_missing && matches!(self.at(model, number), Some(Line::Gap { .. })))
            .then(|| number.saturating_add(PAGE - PAGE / 4).min(found.last_number + 1))
    }

    fn above_number(&self, found: &Conversation, number: u64) -> Option<Line> {
        let shown = found.messages.range(..number).rev().find(|(_, message)| !message.deleted);
        let after = shown.map_or(found.cleared, |(&above, _)| above);
        if self.loaded.covers(after + 1, number - 1) {
            return shown.map(|(&above, _)| Line::Message(above));
        }
        // What is known to be deleted at its end needs not be asked for.
        let end = self.loaded.iter().find(|&(first, last)| first < number && number - 1 <= last);
        Some(Self::hole(found, after, end.map_or(number, |(first, _)| first)))
    }

    fn below_number(&self, found: &Conversation, number: u64) -> Option<Line> {
        let shown = found.messages.range(number + 1..).find(|(_, message)| !message.deleted);
        let before = shown.map_or(found.last_number + 1, |(&below, _)| below);
        if self.loaded.covers(number + 1, before - 1) {
            return shown.map(|(&below, _)| Line::Message(below));
        }
        Some(Self::hole(found, number, before))
    }

    fn hole(found: &Conversation, after: u64, before: u64) -> Line {
        if found.is_behind() && before > found.handed + 1 && after >= found.handed {
            Line::KeptBack { after, before }
        } else {
            Line::Gap { after, before }
        }
    }
}

/// What a line shows.
pub(crate) enum Shown<'m> {
    /// A message; with how far it has come, if it is one's own.
    Message(&'m Message, Option<Delivery>),
    /// A message on its way.
    Outgoing(&'m Outgoing, Delivery),
    /// Nothing is there yet.
    Gap,
    /// That many unread messages are kept back.
    KeptBack(u64),
}

/// What somebody has said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'m> {
    pub(crate) text: &'m str,
    /// Milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// Somebody else has; `None`: oneself.
    pub(crate) by: Option<u64>,
    /// How far it has come, if it is one's own.
    pub(crate) delivery: Option<Delivery>,
}

impl<'m> Shown<'m> {
    /// What was said, if something was.
    pub(crate) fn said(&self) -> Option<Said<'m>> {
        match *self {
            Shown::Message(message, delivery) => Some(Said {
                text: &message.text,
                time_ms: message.time_ms,
                by: delivery.is_none().then_some(message.sender),
                delivery,
            }),
            Shown::Outgoing(outgoing, delivery) => match &outgoing.write {
                Write::Send { text, .. } => {
                    Some(Said { text, time_ms: outgoing.created_ms, by: None, delivery: Some(delivery) })
                }
                _ => None,
            },
            Shown::Gap | Shown::KeptBack(_) => None,
        }
    }

    /// It was refused, and stays in sight until somebody decides.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Shown::Outgoing(outgoing, _) if matches!(outgoing.state, WriteState::Refused(_)))
    }
}

/// What a line shows; `None` for one that is not there any more.
pub(crate) fn shown(model: &Model, id: u64, line: Line) -> Option<Shown<'_>> {
    Some(match line {
        Line::Message(number) => {
            let message = model.conversations.get(&id)?.messages.get(&number).filter(|message| !message.deleted)?;
            Shown::Message(message, (message.sender == model.me()).then(|| model.delivery(id, number)))
        }
        Line::Outgoing(key) => {
            let outgoing = model.outbox.get(&key)?;
            Shown::Outgoing(outgoing, model.outgoing_delivery(outgoing))
        }
        Line::Gap { .. } => Shown::Gap,
        Line::KeptBack { .. } => Shown::KeptBack(model.conversations.get(&id)?.unheld),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation of that many messages, of which only the newest are in memory.
    fn long(last: u64, held: u64) -> (Model, Chat) {
        let mut model = Model::default();
        let mut found = Conversation::new(1);
        found.last_number = last;
        found.handed = last;
        found.spans.add(1, last);
        let messages =
            (last - held + 1..=last).map(|number| (number, Message { number, sender: 2, ..Message::default() }));
        found.messages = messages.collect();
        model.conversations.insert(1, found);
        let mut chat = Chat { id: 1, ..Chat::default() };
        chat.loaded.add(last - held + 1, last);
        (model, chat)
    }

    #[test]
    fn a_number_far_away_is_asked_for_with_some_on_both_sides() {
        let (mut model, mut chat) = long(10_000, 200);
        let gap = Some(Line::Gap { after: 0, before: 9_801 });
        for number in [1, 5_000, 9_800] {
            assert_eq!(chat.at(&model, number), gap, "{number}");
        }
        assert_eq!(chat.needed_for(&model, 1), Some(151));
        assert_eq!(chat.needed_for(&model, 5_000), Some(5_150));
        assert_eq!(chat.needed_for(&model, 9_999), None, "it is in memory");
        assert_eq!(chat.needed_for(&model, 10_001), None, "there is none");
        let numbers: Vec<u64> = (4_950..5_150).collect();
        let found = model.conversations.get_mut(&1).unwrap();
        found.messages.extend(numbers.iter().map(|&number| (number, Message { number, ..Message::default() })));
        chat.arrived(found, 5_150, &numbers, true);
        assert_eq!(chat.at(&model, 5_000), Some(Line::Message(5_000)));
        assert_eq!(chat.needed_for(&model, 5_000), None);
        assert_eq!(chat.at(&model, 4_000), Some(Line::Gap { after: 0, before: 4_950 }));
        assert_eq!(chat.at(&model, 7_000), Some(Line::Gap { after: 5_149, before: 9_801 }));
    }

    #[test]
    fn where_everything_was_deleted_nothing_is_asked_for_again() {
        let (mut model, mut chat) = long(10_000, 200);
        let found = model.conversations.get_mut(&1).unwrap();
        chat.arrived(found, 5_150, &[], true);
        assert!(chat.loaded.covers(4_950, 5_149));
        assert_eq!(chat.needed_for(&model, 5_000), None);
        assert_eq!(chat.at(&model, 5_000), Some(Line::Gap { after: 0, before: 4_950 }));
    }
}
