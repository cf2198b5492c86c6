//! Messages handed over: the next unread ones, and history. How many unread ones a request may get is bounded, see
//! [`wire::chat`].

use std::fmt;

use rusqlite::{Row, params};
use wire::limits::{MESSAGES_PER_REPLY_MAX, REPLY_CONTENT_BYTES_MAX};

use super::{QueryError, StateReader};
use crate::storage::rows::{self, sql, u64_at};

/// A message that is not deleted.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id, which is its change number.
    pub id: u64,
    /// Where.
    pub conversation: u64,
    /// Its number there.
    pub number: u64,
    /// Who sent it.
    pub sender: u64,
    /// When, milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// What it says.
    pub text: String,
    /// The device or node that wrote it.
    pub device: u64,
    /// Under which number.
    pub seq: u64,
}

impl StoredMessage {
    /// The number of the write, as `device` may see it: 0 if another one wrote the message.
    pub fn seq_for(&self, device: u64) -> u64 {
        if self.device == device { self.seq } else { 0 }
    }
}

/// Without the text, which belongs in no log.
impl fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMessage")
            .field("id", &self.id)
            .field("conversation", &self.conversation)
            .field("number", &self.number)
            .field("sender", &self.sender)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// Which part of a conversation's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Above this number, oldest first.
    After(u64),
    /// Below this number, newest first.
    Before(u64),
}

/// Messages that one request hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// In the order that was asked for.
    pub messages: Vec<StoredMessage>,
    /// There are more in that direction.
    pub more: bool,
    /// Unread messages that were not handed over: of [`StateReader::next`] those above the last one handed over, of
    /// [`StateReader::history`] all.
    pub unread: u64,
    /// Number of the conversation's newest message, deleted or not.
    pub last_number: u64,
    /// The last change number of this state: what is told of the conversation from the next one on is not in here.
    pub change: u64,
}

impl StateReader {
    /// Messages above number `after`, oldest first, until `view_limit` unread ones are among them; own messages in between
    /// and behind come along. `None` if there is no such conversation that the user is in.
    ///
    /// # Errors
    /// SQLite's.
    pub fn next(
        &self,
        user: u64,
        conversation: u64,
        after: u64,
        view_limit: u32,
    ) -> Result<Option<Handed>, QueryError> {
        let Some(handed) = self.history(user, conversation, Span::After(after), MESSAGES_PER_REPLY_MAX, view_limit)?
        else {
            return Ok(None);
        };
        let last = handed.messages.last().map_or(after, |message| message.number);
        let read = rows::standing(&self.connection, conversation, user)?.unwrap_or_default().read;
        let unread = self.unread_above(user, conversation, read.max(last))?;
        Ok(Some(Handed { unread, ..handed }))
    }

    /// A part of a conversation's history in the view of `user`: at most `count` messages, `unread_max` unread ones among
    /// them, and [`REPLY_CONTENT_BYTES_MAX`] of text with one message more. `None` if there is no such conversation that
    /// the user is in.
    ///
    /// # Errors
    /// SQLite's.
    pub fn history(
        &self,
        user: u64,
        conversation: u64,
        span: Span,
        count: usize,
        unread_max: u32,
    ) -> Result<Option<Handed>, QueryError> {
        let Some(own) = rows::standing(&self.connection, conversation, user)? else { return Ok(None) };
        let (above, below, order) = match span {
            Span::After(number) => (number.max(own.cleared), i64::MAX as u64, "ASC"),
            Span::Before(number) => (own.cleared, number, "DESC"),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 AND number > ?2 AND number < ?3 AND deleted = 0
             ORDER BY number {order}"
        ))?;
        let bound = |number: u64| sql(number.min(i64::MAX as u64));
        let mut rows = statement.query(params![sql(conversation), bound(above), bound(below)])?;
        let (mut messages, mut more, mut bytes, mut unread) = (Vec::new(), false, 0, 0);
        while let Some(row) = rows.next()? {
            let (number, sender) = (u64_at(row, 2)?, u64_at(row, 3)?);
            let is_unread = sender != user && number > own.read;
            if messages.len() >= count.min(MESSAGES_PER_REPLY_MAX)
                || bytes >= REPLY_CONTENT_BYTES_MAX
                || is_unread && unread >= unread_max
            {
                more = true;
                break;
            }
            unread += u32::from(is_unread);
            let message = message_at(row)?;
            bytes += message.text.len();
            messages.push(message);
        }
        Ok(Some(Handed {
            messages,
            more,
            unread: self.unread_above(user, conversation, own.read)?.saturating_sub(u64::from(unread)),
            last_number: self.last_number(conversation)?,
            change: self.last_change()?,
        }))
    }

    /// The last change number of this state.
    ///
    /// # Errors
    /// SQLite's.
    pub fn last_change(&self) -> Result<u64, QueryError> {
        let next =
            self.connection.prepare_cached("SELECT next_message FROM progress")?.query_row([], |row| u64_at(row, 0))?;
        Ok(next - 1)
    }
}

/// The columns of [`message_at`].
pub(super) const COLUMNS: &str = "id, conversation, number, sender, time_ms, text, device, seq";

pub(super) fn message_at(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    Ok(StoredMessage {
        id: u64_at(row, 0)?,
        conversation: u64_at(row, 1)?,
        number: u64_at(row, 2)?,
        sender: u64_at(row, 3)?,
        time_ms: u64_at(row, 4)?,
        text: row.get(5)?,
        device: u64_at(row, 6)?,
        seq: u64_at(row, 7)?,
    })
}
