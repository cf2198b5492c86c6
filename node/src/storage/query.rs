//! What may be asked of the chat state, over connections that only read.
//!
//! A reader sees the last committed transaction. How fresh that is, the caller has settled before
//! (by a read barrier).
//!
//! Here is what the original's dialect asks; what ours asks is in [`people`], [`devices`], [`conversations`], [`timeline`]
//! and [`sync`].

mod codes;
pub mod conversations;
pub mod devices;
pub mod people;
pub mod sync;
pub mod timeline;

use std::path::Path;
use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, params};
use wire::names::Pattern;
use wire::replication::entry::LogId;

use super::rows::{self, sql, u64_at};
use super::schema::{self, OpenError};
use super::state_tx::Progress;
use crate::chat::state::{Conversation, Lookup, User};

pub use super::query_pool::Queries;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// SQLite failed.
    #[error("the state database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// Too many queries wait already.
    #[error("too many queries are waiting")]
    Busy,
    /// The query threads have stopped.
    #[error("the query threads have stopped")]
    Stopped,
}

/// A live account with what is needed to log in to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its nickname.
    pub nickname: String,
    /// Argon2id in PHC text form.
    pub password_hash: String,
    /// How many unread messages one request hands over.
    pub view_limit: u32,
}

/// Without the password hash: no log needs it.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A direct conversation in somebody's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatSummary {
    /// Its id.
    pub conversation: u64,
    /// Its text id for clients of the original protocol.
    pub legacy_id: String,
    /// Name of the other one.
    pub other: String,
    /// Whether the other one still has that account.
    pub other_live: bool,
    /// The other one's messages above the read mark that are not deleted.
    pub unread: u64,
}

/// A member of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub user: u64,
    /// The name it has or had.
    pub name: String,
    /// Whether the account exists.
    pub live: bool,
    /// Number of the last message read.
    pub read_mark: u64,
}

/// A message that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id in the whole cluster.
    pub id: u64,
    /// Its number in its conversation.
    pub number: u64,
    /// Who sent it.
    pub sender: u64,
    /// When, milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// What it says, cut to the number of characters that was asked for.
    pub text: String,
}

/// How many messages a query returns, and how much of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Messages at most.
    pub messages_max: u32,
    /// Characters of each text at most.
    pub text_chars_max: u32,
    /// Bytes of all texts: the message with which there are more is the last.
    pub bytes_max: usize,
}

/// A read-only connection to the state.
#[derive(Debug)]
pub struct StateReader {
    connection: Connection,
}

impl StateReader {
    /// Opens an existing database for reading.
    ///
    /// # Errors
    /// It is damaged, of another format, or not accessible.
    pub fn open(path: &Path) -> Result<StateReader, OpenError> {
        Ok(StateReader { connection: schema::open_reader(path)? })
    }

    /// Runs several queries on one state, while new ones are being committed.
    ///
    /// # Errors
    /// Those of `queries`, or SQLite's.
    pub fn snapshot<T>(&self, queries: impl FnOnce(&StateReader) -> Result<T, QueryError>) -> Result<T, QueryError> {
        let transaction = self.connection.unchecked_transaction()?;
        let answer = queries(self);
        transaction.finish()?;
        answer
    }

    /// The last applied entry that this reader sees.
    ///
    /// # Errors
    /// SQLite's.
    pub fn applied(&self) -> Result<Option<LogId>, QueryError> {
        Ok(Progress::load(&self.connection)?.and_then(|progress| progress.applied))
    }

    /// The chained hash of the state that this reader sees, and the index it belongs to.
    ///
    /// # Errors
    /// SQLite's.
    pub fn state_hash(&self) -> Result<(Option<LogId>, [u8; 32]), QueryError> {
        Ok(Progress::load(&self.connection)?
            .map(|progress| (progress.applied, progress.state_hash))
            .unwrap_or_default())
    }

    /// The live account of that name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn account(&self, name: &str) -> Result<Option<Account>, QueryError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT id, name, nickname, password_hash, view_limit FROM users
                 WHERE name = ?1 AND deleted_ms IS NULL",
            )?
            .query_row([name], |row| {
                Ok(Account {
                    id: u64_at(row, 0)?,
                    name: row.get(1)?,
                    nickname: row.get(2)?,
                    password_hash: row.get(3)?,
                    view_limit: row.get(4)?,
                })
            })
            .optional()?)
    }

    /// The live account of that name, or else the only one that is found by its key.
    ///
    /// # Errors
    /// SQLite's.
    pub fn account_found(&self, name: &str) -> Result<Option<Account>, QueryError> {
        match self.found(name)? {
            Some((_, name)) => self.account(&name),
            None => Ok(None),
        }
    }

    /// Names of live accounts whose name or nickname fits `pattern`, in byte order: `count` of them behind the
    /// first `skip`. `exclude` is left out.
    ///
    /// # Errors
    /// SQLite's.
    pub fn names(
        &self,
        pattern: &Pattern,
        exclude: &str,
        skip: usize,
        count: usize,
    ) -> Result<Vec<String>, QueryError> {
        let mut statement = self.connection.prepare_cached(people::SEARCHED)?;
        let mut rows = statement.query([])?;
        let mut skip = skip;
        let mut names = Vec::new();
        while names.len() < count
            && let Some(row) = rows.next()?
        {
            let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            if name == exclude || !people::fits(pattern, row)? {
                continue;
            }
            if skip > 0 {
                skip -= 1;
            } else {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The direct conversations of a user that hold a message, newest message first; not the notebook.
    ///
    /// # Errors
    /// SQLite's.
    pub fn chats(&self, user: u64, count: u32) -> Result<Vec<ChatSummary>, QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, legacy_id, name, live,
                    (SELECT count(*) FROM messages
                     WHERE conversation = chat.id AND number > read_mark AND sender <> ?1 AND deleted = 0)
             FROM (SELECT conversations.id, legacy_id, read_mark, users.name, users.deleted_ms IS NULL AS live,
                          (SELECT messages.id FROM messages
                           WHERE conversation = conversations.id AND deleted = 0
                           ORDER BY number DESC LIMIT 1) AS newest
                   FROM members
                   JOIN conversations ON conversations.id = members.conversation
                   JOIN users ON users.id = iif(low = ?1, high, low)
                   WHERE members.user = ?1 AND low <> high AND newest IS NOT NULL
                   ORDER BY newest DESC LIMIT ?2) AS chat",
        )?;
        let chats = statement.query_map(params![sql(user), count], |row| {
            Ok(ChatSummary {
                conversation: u64_at(row, 0)?,
                legacy_id: row.get(1)?,
                other: row.get(2)?,
                other_live: row.get(3)?,
                unread: u64_at(row, 4)?,
            })
        })?;
        Ok(chats.collect::<Result<_, _>>()?)
    }

    /// The members of a conversation, by rising id.
    ///
    /// # Errors
    /// SQLite's.
    pub fn members(&self, conversation: u64) -> Result<Vec<Member>, QueryError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT user, name, deleted_ms IS NULL, read_mark FROM members JOIN users ON users.id = user
             WHERE conversation = ?1 ORDER BY user",
        )?;
        let members = statement.query_map([sql(conversation)], |row| {
            Ok(Member { user: u64_at(row, 0)?, name: row.get(1)?, live: row.get(2)?, read_mark: u64_at(row, 3)? })
        })?;
        Ok(members.collect::<Result<_, _>>()?)
    }

    /// The number of a user's unread message number `nth` (from 0) above `read_mark`, counted oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn nth_unread(
        &self,
        conversation: u64,
        user: u64,
        read_mark: u64,
        nth: u32,
    ) -> Result<Option<u64>, QueryError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT number FROM messages
                 WHERE conversation = ?1 AND number > ?2 AND sender <> ?3 AND deleted = 0
                 ORDER BY number LIMIT 1 OFFSET ?4",
            )?
            .query_row(params![sql(conversation), sql(read_mark), sql(user), nth], |row| u64_at(row, 0))
            .optional()?)
    }

    /// Messages with numbers in `from..before`, oldest first, from the oldest on.
    ///
    /// # Errors
    /// SQLite's.
    pub fn oldest(
        &self,
        conversation: u64,
        numbers: std::ops::Range<u64>,
        page: Page,
    ) -> Result<Vec<Message>, QueryError> {
        self.messages(
            "SELECT id, number, sender, time_ms, substr(text, 1, ?5) FROM messages
             WHERE conversation = ?1 AND number >= ?2 AND number < ?3 AND deleted = 0
             ORDER BY number LIMIT ?4",
            conversation,
            numbers,
            page,
        )
    }

    /// Messages with numbers in `from..before`, newest first, from the newest on.
    ///
    /// # Errors
    /// SQLite's.
    pub fn newest(
        &self,
        conversation: u64,
        numbers: std::ops::Range<u64>,
        page: Page,
    ) -> Result<Vec<Message>, QueryError> {
        self.messages(
            "SELECT id, number, sender, time_ms, substr(text, 1, ?5) FROM messages
             WHERE conversation = ?1 AND number >= ?2 AND number < ?3 AND deleted = 0
             ORDER BY number DESC LIMIT ?4",
            conversation,
            numbers,
            page,
        )
    }

    fn messages(
        &self,
        query: &str,
        conversation: u64,
        numbers: std::ops::Range<u64>,
        page: Page,
    ) -> Result<Vec<Message>, QueryError> {
        let mut statement = self.connection.prepare_cached(query)?;
        let (from, before) = (sql(numbers.start), sql(numbers.end.min(i64::MAX as u64)));
        let bounds = params![sql(conversation), from, before, page.messages_max, page.text_chars_max];
        let mut rows = statement.query(bounds)?;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while bytes <= page.bytes_max
            && let Some(row) = rows.next()?
        {
            let text: String = row.get(4)?;
            bytes += text.len();
            messages.push(Message {
                id: u64_at(row, 0)?,
                number: u64_at(row, 1)?,
                sender: u64_at(row, 2)?,
                time_ms: u64_at(row, 3)?,
                text,
            });
        }
        Ok(messages)
    }
}

impl Lookup for StateReader {
    type Error = QueryError;

    fn user(&self, id: u64) -> Result<Option<Rc<User>>, QueryError> {
        Ok(rows::user(&self.connection, id)?.map(Rc::new))
    }

    fn user_named(&self, name: &str) -> Result<Option<u64>, QueryError> {
        Ok(rows::user_named(&self.connection, name)?)
    }

    fn user_folded(&self, fold: &str) -> Result<Option<u64>, QueryError> {
        Ok(rows::user_folded(&self.connection, fold)?)
    }

    fn conversation(&self, id: u64) -> Result<Option<Rc<Conversation>>, QueryError> {
        Ok(rows::conversation(&self.connection, id)?.map(|(conversation, _)| Rc::new(conversation)))
    }

    fn direct(&self, one: u64, other: u64) -> Result<Option<u64>, QueryError> {
        Ok(rows::direct(&self.connection, one, other)?)
    }

    fn labelled(&self, legacy_id: &str) -> Result<Option<u64>, QueryError> {
        Ok(rows::labelled(&self.connection, legacy_id)?)
    }
}
