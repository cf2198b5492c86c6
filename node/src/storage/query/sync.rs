//! What happened behind a cursor (docs/adr/0012).
//!
//! Rows know the number of their last change, so what is new to a device is read from rows. A chunk takes changes in the
//! order of their numbers and ends between two of them; its cursor is the number of its last change, and that of the
//! last chunk is the counter as this state has it. Rows are told as they are now, which may be later than the chunk's end:
//! marks, names and views only ever move on, so it does no harm that they are told again.
//!
//! A first sync, from cursor 0, tells conversations as they are and the unread messages, not their whole history. It
//! remembers in [`SyncFrom::since`] where the counter stood at its first chunk: changes up to there are told in the
//! summaries already. What is unread is handed over up to a limit over all chunks; where it does not fit the conversation is
//! *behind*, and nothing more of its messages is handed over by this sync.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};
use wire::limits::{MESSAGES_PER_REPLY_MAX, REPLY_CONTENT_BYTES_MAX};

use super::conversations::Summary;
use super::people::{Person, Profile};
use super::timeline::{COLUMNS, StoredMessage, message_at};
use super::{QueryError, StateReader};
use crate::storage::rows::{sql, u64_at};

/// Where a sync stands: its cursor, and what a session keeps beside it from one chunk to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncFrom {
    /// What the device has taken in; 0: nothing, which is also all there is before the first change of the cluster.
    pub cursor: u64,
    /// The device knows nothing yet. (One that knows everything of a history in which nothing has happened is at 0 too.)
    pub first: bool,
    /// Where the counter stood when this sync began at 0; 0 for one that began elsewhere.
    pub since: u64,
    /// Unread messages that may still be handed over.
    pub unread_left: u32,
    /// Conversations that are behind.
    pub behind: BTreeSet<u64>,
}

impl SyncFrom {
    /// A sync that begins. `view_limit` bounds the unread messages handed over in all its chunks together.
    pub fn cursor(cursor: u64, view_limit: u32) -> SyncFrom {
        SyncFrom { cursor, first: cursor == 0, since: 0, unread_left: view_limit, behind: BTreeSet::new() }
    }
}

/// A deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// Its change number.
    pub id: u64,
    /// Where.
    pub conversation: u64,
    /// Number of the message.
    pub number: u64,
}

/// Somebody's marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedMarks {
    /// Where.
    pub conversation: u64,
    /// Whose.
    pub user: u64,
    /// Messages up to this number are on a device.
    pub delivered: u64,
    /// Messages up to this number were read.
    pub read: u64,
}

/// One chunk of what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncChunk {
    /// Conversations that are new to the device, whose view was emptied, or that are behind from here on. With unread
    /// messages the newest one is left out: it is handed over by itself, or not to be shown yet.
    pub conversations: Vec<Summary>,
    /// Messages, by rising id.
    pub messages: Vec<StoredMessage>,
    /// Deletions, by rising id; also of messages that were never told.
    pub deleted: Vec<Deletion>,
    /// Marks that have moved.
    pub marks: Vec<MovedMarks>,
    /// Others who have another nickname, or are gone.
    pub people: Vec<Person>,
    /// The own account, if it may have changed.
    pub account: Option<Profile>,
    /// Conversations that are behind from here on; each is in `conversations` too.
    pub behind: Vec<u64>,
    /// Where to go on.
    pub next: SyncFrom,
    /// There is more.
    pub more: bool,
    /// The cursor was not of this history, and this is a first sync instead.
    pub resync: bool,
}

/// A row that has changed.
#[derive(Debug, Clone, Copy)]
enum Item {
    Conversation(u64),
    Message { conversation: u64, number: u64, unread: bool },
    Deleted { conversation: u64, number: u64 },
    Marks(MovedMarks),
    Person(u64),
    Account,
}

/// A user's own row in a conversation.
struct Own {
    conversation: u64,
    made: u64,
    read: u64,
    cleared: u64,
    cleared_changed: u64,
}

impl StateReader {
    /// What has changed for `user` behind `from`: at most `limit` changes, and no more content than one reply holds. A
    /// cursor from beyond this state is of another history, unless the state may be old (`stale`): then this node has
    /// nothing to tell yet.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sync(&self, user: u64, from: &SyncFrom, limit: usize, stale: bool) -> Result<SyncChunk, QueryError> {
        let last = self.last_change()?;
        let limit = limit.clamp(1, MESSAGES_PER_REPLY_MAX);
        if stale && from.cursor > last {
            return Ok(SyncChunk::new(from.clone(), false));
        }
        let resync = from.cursor > last;
        let mut next = if resync { SyncFrom::cursor(0, from.unread_left) } else { from.clone() };
        let first = std::mem::take(&mut next.first);
        if first {
            next.since = last;
        }
        let mut items = self.changed_items(user, &next, limit)?;
        items.sort_by_key(|(change, _)| *change);

        let mut chunk = Chunk { user, content: 0, items: 0, told: BTreeSet::new(), out: SyncChunk::new(next, resync) };
        if first {
            chunk.out.account = self.profile(user)?;
        }
        for same in items.chunk_by(|(one, _), (other, _)| one == other) {
            if chunk.items >= limit || chunk.content >= REPLY_CONTENT_BYTES_MAX {
                chunk.out.more = true;
                return Ok(chunk.out);
            }
            for &(change, item) in same {
                chunk.take(self, change, item)?;
                chunk.out.next.cursor = change;
            }
        }
        chunk.out.next.cursor = last;
        Ok(chunk.out)
    }

    /// The rows that have changed behind `from`, each under its number: of each kind and conversation the first ones,
    /// enough for a chunk of `limit`.
    fn changed_items(&self, user: u64, from: &SyncFrom, limit: usize) -> Result<Vec<(u64, Item)>, QueryError> {
        let enough = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        // What the summaries of a first sync tell.
        let known = from.cursor.max(from.since);
        let mut items = Vec::new();
        for own in self.own_rows(user)? {
            let conversation = own.conversation;
            if own.made > from.cursor {
                items.push((own.made, Item::Conversation(conversation)));
            }
            if own.cleared_changed > known {
                items.push((own.cleared_changed, Item::Conversation(conversation)));
            }
            let mut deleted = self.connection.prepare_cached(
                "SELECT changed, number FROM messages WHERE conversation = ?1 AND deleted = 1 AND changed > ?2
                 ORDER BY changed LIMIT ?3",
            )?;
            let deleted = deleted.query_map(params![sql(conversation), sql(known), enough], |row| {
                Ok((u64_at(row, 0)?, Item::Deleted { conversation, number: u64_at(row, 1)? }))
            })?;
            for item in deleted {
                items.push(item?);
            }
            if from.behind.contains(&conversation) {
                // Its messages are not handed over; that there are more or fewer of them is told.
                if let Some(change) = self.last_change_of(user, &own, from.cursor)? {
                    items.push((change, Item::Conversation(conversation)));
                }
            } else if let Some(start) = self.first_to_hand_over(user, &own, from)? {
                let mut messages = self.connection.prepare_cached(
                    "SELECT id, number, sender FROM messages WHERE conversation = ?1 AND number >= ?2 AND deleted = 0
                     ORDER BY number LIMIT ?3",
                )?;
                let messages = messages.query_map(params![sql(conversation), sql(start), enough], |row| {
                    let (number, sender) = (u64_at(row, 1)?, u64_at(row, 2)?);
                    let unread = sender != user && number > own.read;
                    Ok((u64_at(row, 0)?, Item::Message { conversation, number, unread }))
                })?;
                for item in messages {
                    items.push(item?);
                }
            }
        }
        self.changed_marks(user, known, &mut items)?;
        self.changed_people(user, known, &mut items)?;
        Ok(items)
    }

    /// The number of the last change above `cursor` that the summary of a conversation shows: a message, a deletion, or how
    /// far `user` has read.
    fn last_change_of(&self, user: u64, own: &Own, cursor: u64) -> Result<Option<u64>, QueryError> {
        let last = self
            .connection
            .prepare_cached(
                "SELECT max(
                    ifnull((SELECT id FROM messages WHERE conversation = ?1 AND deleted = 0
                            ORDER BY number DESC LIMIT 1), 0),
                    ifnull((SELECT max(changed) FROM messages WHERE conversation = ?1 AND deleted = 1), 0),
                    ifnull((SELECT changed FROM members WHERE conversation = ?1 AND user = ?2), 0))",
            )?
            .query_row(params![sql(own.conversation), sql(user)], |row| u64_at(row, 0))?;
        Ok(Some(last).filter(|last| *last > cursor))
    }

    fn own_rows(&self, user: u64) -> Result<Vec<Own>, QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, conversations.changed, read_mark, cleared, cleared_changed
             FROM members JOIN conversations ON id = conversation WHERE user = ?1",
        )?;
        let own = statement.query_map([sql(user)], |row| {
            Ok(Own {
                conversation: u64_at(row, 0)?,
                made: u64_at(row, 1)?,
                read: u64_at(row, 2)?,
                cleared: u64_at(row, 3)?,
                cleared_changed: u64_at(row, 4)?,
            })
        })?;
        Ok(own.collect::<Result<_, _>>()?)
    }

    fn changed_marks(&self, user: u64, above: u64, items: &mut Vec<(u64, Item)>) -> Result<(), QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT others.changed, others.conversation, others.user, others.delivered_mark, others.read_mark
             FROM members AS own JOIN members AS others ON others.conversation = own.conversation
             WHERE own.user = ?1 AND others.changed > ?2",
        )?;
        let found = statement.query_map(params![sql(user), sql(above)], |row| {
            let marks = MovedMarks {
                conversation: u64_at(row, 1)?,
                user: u64_at(row, 2)?,
                delivered: u64_at(row, 3)?,
                read: u64_at(row, 4)?,
            };
            Ok((u64_at(row, 0)?, Item::Marks(marks)))
        })?;
        for item in found {
            items.push(item?);
        }
        Ok(())
    }

    fn changed_people(&self, user: u64, above: u64, items: &mut Vec<(u64, Item)>) -> Result<(), QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT changed, id FROM users
             WHERE changed > ?2 AND id IN (SELECT others.user
                 FROM members AS own JOIN members AS others ON others.conversation = own.conversation
                 WHERE own.user = ?1 UNION SELECT ?1)",
        )?;
        let found = statement.query_map(params![sql(user), sql(above)], |row| {
            let id = u64_at(row, 1)?;
            Ok((u64_at(row, 0)?, if id == user { Item::Account } else { Item::Person(id) }))
        })?;
        for item in found {
            items.push(item?);
        }
        Ok(())
    }

    /// The number from which on the messages of a conversation are handed over; `None` if there are none.
    fn first_to_hand_over(&self, user: u64, own: &Own, from: &SyncFrom) -> Result<Option<u64>, QueryError> {
        let newest = self
            .connection
            .prepare_cached(
                "SELECT id, number FROM messages WHERE conversation = ?1 AND number > ?2 AND deleted = 0
                 ORDER BY number DESC LIMIT 1",
            )?
            .query_row(params![sql(own.conversation), sql(own.cleared)], |row| Ok((u64_at(row, 0)?, u64_at(row, 1)?)))
            .optional()?;
        let Some((newest_id, newest)) = newest.filter(|(id, _)| *id > from.cursor) else { return Ok(None) };
        let behind_cursor = self.first_above(own, newest, from.cursor)?;
        if from.since <= from.cursor {
            return Ok(Some(behind_cursor));
        }
        // Of what was there before this first sync the unread ones, with own messages between them.
        let unread = self
            .connection
            .prepare_cached(
                "SELECT number FROM messages WHERE conversation = ?1 AND number > ?2 AND sender <> ?3 AND deleted = 0
                 ORDER BY number LIMIT 1",
            )?
            .query_row(params![sql(own.conversation), sql(own.read), sql(user)], |row| u64_at(row, 0))
            .optional()?;
        let later = if newest_id > from.since { Some(self.first_above(own, newest, from.since)?) } else { None };
        Ok(unread.into_iter().chain(later).min().map(|number| number.max(behind_cursor)))
    }

    /// The lowest number such that all messages of the view from there on have ids above `id`, which that of number `newest`
    /// has. Found by bisection: ids rise with numbers.
    fn first_above(&self, own: &Own, newest: u64, id: u64) -> Result<u64, QueryError> {
        let mut at_or_above = self.connection.prepare_cached(
            "SELECT id, number FROM messages WHERE conversation = ?1 AND number >= ?2 AND deleted = 0
             ORDER BY number LIMIT 1",
        )?;
        let (mut low, mut high) = (own.cleared + 1, newest);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, number) = at_or_above
                .query_row(params![sql(own.conversation), sql(middle)], |row| Ok((u64_at(row, 0)?, u64_at(row, 1)?)))?;
            if found > id {
                high = middle;
            } else {
                low = number + 1;
            }
        }
        Ok(low)
    }
}

impl SyncChunk {
    fn new(next: SyncFrom, resync: bool) -> SyncChunk {
        SyncChunk {
            conversations: Vec::new(),
            messages: Vec::new(),
            deleted: Vec::new(),
            marks: Vec::new(),
            people: Vec::new(),
            account: None,
            behind: Vec::new(),
            next,
            more: false,
            resync,
        }
    }
}

/// A chunk that is being filled.
struct Chunk {
    user: u64,
    /// Bytes of texts and names in it, about.
    content: usize,
    items: usize,
    /// Conversations it has the summaries of.
    told: BTreeSet<u64>,
    out: SyncChunk,
}

/// Bytes of an item's numbers and keys, about.
const ITEM_BYTES: usize = 64;

impl Chunk {
    fn take(&mut self, reader: &StateReader, change: u64, item: Item) -> Result<(), QueryError> {
        match item {
            Item::Conversation(conversation) => return self.take_conversation(reader, conversation),
            Item::Message { conversation, number, unread } => {
                if self.out.next.behind.contains(&conversation) {
                    return Ok(());
                }
                if unread && self.out.next.unread_left == 0 {
                    self.out.next.behind.insert(conversation);
                    self.out.behind.push(conversation);
                    return self.take_conversation(reader, conversation);
                }
                self.out.next.unread_left -= u32::from(unread);
                let message = reader
                    .connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 AND number = ?2 AND deleted = 0"
                    ))?
                    .query_row(params![sql(conversation), sql(number)], message_at)?;
                self.content += message.text.len();
                self.out.messages.push(message);
            }
            Item::Deleted { conversation, number } => {
                self.out.deleted.push(Deletion { id: change, conversation, number });
            }
            Item::Marks(marks) => self.out.marks.push(marks),
            Item::Person(user) => {
                if let Some(person) = reader.person(user)? {
                    self.content += person.username.len() + person.nickname.len();
                    self.out.people.push(person);
                }
            }
            Item::Account => self.out.account = reader.profile(self.user)?,
        }
        self.items += 1;
        self.content += ITEM_BYTES;
        Ok(())
    }

    fn take_conversation(&mut self, reader: &StateReader, conversation: u64) -> Result<(), QueryError> {
        if !self.told.insert(conversation) {
            return Ok(());
        }
        if let Some(mut summary) = reader.summary(self.user, conversation)? {
            if summary.unread > 0 {
                summary.newest = None;
            } else {
                // All of it was read, perhaps on another device: nothing is kept back any more.
                self.out.next.behind.remove(&conversation);
            }
            let names = summary
                .members
                .iter()
                .map(|member| ITEM_BYTES + member.person.username.len() + member.person.nickname.len());
            let preview = summary.newest.as_ref().map_or(0, |newest| newest.text.len());
            self.content += ITEM_BYTES + preview + names.sum::<usize>();
            self.items += 1;
            self.out.conversations.push(summary);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
