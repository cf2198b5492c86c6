//! Conversations as their members see them.

use rusqlite::{OptionalExtension, params};
use wire::limits::PREVIEW_BYTES_MAX;

use super::people::{Person, person_at};
use super::timeline::{COLUMNS, StoredMessage, message_at};
use super::{QueryError, StateReader};
use crate::storage::rows::{self, sql, u64_at};

/// A conversation, as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub conversation: u64,
    /// Who is in it, by rising id, the one who asks included.
    pub members: Vec<Participant>,
    /// Number of its newest message, deleted or not; 0 if there was none yet.
    pub last_number: u64,
    /// Others' messages above the read mark that are not deleted.
    pub unread: u64,
    /// Messages up to this number are gone from this member's view.
    pub cleared: u64,
    /// The newest message in this view that is not deleted, its text cut to [`PREVIEW_BYTES_MAX`].
    pub newest: Option<StoredMessage>,
}

/// Somebody in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Who.
    pub person: Person,
    /// Messages up to this number are on a device of theirs.
    pub delivered: u64,
    /// Messages up to this number were read by them.
    pub read: u64,
}

impl StateReader {
    /// A conversation as `user` sees it; `None` if there is none that the user is in.
    ///
    /// # Errors
    /// SQLite's.
    pub fn summary(&self, user: u64, conversation: u64) -> Result<Option<Summary>, QueryError> {
        let Some(own) = rows::standing(&self.connection, conversation, user)? else { return Ok(None) };
        let mut newest = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 AND number > ?2 AND deleted = 0
                 ORDER BY number DESC LIMIT 1"
            ))?
            .query_row(params![sql(conversation), sql(own.cleared)], message_at)
            .optional()?;
        if let Some(newest) = &mut newest {
            newest.text.truncate(newest.text.floor_char_boundary(PREVIEW_BYTES_MAX));
        }
        Ok(Some(Summary {
            conversation,
            members: self.participants(conversation)?,
            last_number: self.last_number(conversation)?,
            unread: self.unread_above(user, conversation, own.read)?,
            cleared: own.cleared,
            newest,
        }))
    }

    /// A user's conversations, the one with the newest message in the user's view first and those without any last:
    /// `count` of them behind the first `skip`, and whether there are more.
    ///
    /// # Errors
    /// SQLite's.
    pub fn summaries(&self, user: u64, skip: u64, count: u32) -> Result<(Vec<Summary>, bool), QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT conversation,
                    (SELECT id FROM messages
                     WHERE messages.conversation = members.conversation AND number > cleared AND deleted = 0
                     ORDER BY number DESC LIMIT 1) AS newest
             FROM members WHERE user = ?1
             ORDER BY newest IS NULL, newest DESC, conversation DESC LIMIT ?2 OFFSET ?3",
        )?;
        let skip = sql(skip.min(i64::MAX as u64));
        let found = statement.query_map(params![sql(user), i64::from(count) + 1, skip], |row| u64_at(row, 0))?;
        let mut found = found.collect::<Result<Vec<u64>, _>>()?;
        let more = found.len() > count as usize;
        found.truncate(count as usize);
        let mut summaries = Vec::with_capacity(found.len());
        for conversation in found {
            summaries.extend(self.summary(user, conversation)?);
        }
        Ok((summaries, more))
    }

    /// A user's unread messages in all conversations.
    ///
    /// # Errors
    /// SQLite's.
    pub fn unread_total(&self, user: u64) -> Result<u64, QueryError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT coalesce(sum((SELECT count(*) FROM messages
                                      WHERE messages.conversation = members.conversation AND number > read_mark
                                      AND sender <> ?1 AND deleted = 0)), 0)
                 FROM members WHERE user = ?1",
            )?
            .query_row([sql(user)], |row| u64_at(row, 0))?)
    }

    /// Others' messages above `number` that are not deleted.
    pub(super) fn unread_above(&self, user: u64, conversation: u64, number: u64) -> Result<u64, QueryError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM messages
                 WHERE conversation = ?1 AND number > ?2 AND sender <> ?3 AND deleted = 0",
            )?
            .query_row(params![sql(conversation), sql(number), sql(user)], |row| u64_at(row, 0))?)
    }

    pub(super) fn last_number(&self, conversation: u64) -> Result<u64, QueryError> {
        Ok(self
            .connection
            .prepare_cached("SELECT last_number FROM conversations WHERE id = ?1")?
            .query_row([sql(conversation)], |row| u64_at(row, 0))?)
    }

    fn participants(&self, conversation: u64) -> Result<Vec<Participant>, QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, name, nickname, deleted_ms IS NULL, delivered_mark, read_mark
             FROM members JOIN users ON users.id = user WHERE conversation = ?1 ORDER BY user",
        )?;
        let members = statement.query_map([sql(conversation)], |row| {
            Ok(Participant { person: person_at(row, 0)?, delivered: u64_at(row, 4)?, read: u64_at(row, 5)? })
        })?;
        Ok(members.collect::<Result<_, _>>()?)
    }
}
