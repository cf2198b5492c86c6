//! One transaction of `state.db` as the chat rules see it.
//!
//! Accounts, conversations and devices that a transaction has looked at are remembered until it ends, and counters are
//! written once at its end: a batch of five hundred messages into one conversation looks it up once and updates it once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, params};
use wire::replication::entry::{LogId, Membership};

use super::writers::{Kept, Writers};
use super::{device_rows, name_keys, rows};
use crate::chat::state::{
    Change, Conversation, Device, JoinCode, KeptRun, Lookup, NextIds, Position, Standing, State, Token, User,
};

/// Where the state stands: the single row of table `progress`.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) applied: Option<LogId>,
    pub(super) membership_log_id: Option<LogId>,
    pub(super) membership: Membership,
    pub(super) state_hash: [u8; 32],
    pub(super) next: NextIds,
}

impl Progress {
    /// Reads the row; writes the first one into a new database.
    pub(super) fn load_or_begin(connection: &Connection) -> rusqlite::Result<Progress> {
        if let Some(progress) = Progress::load(connection)? {
            return Ok(progress);
        }
        let progress = Progress {
            applied: None,
            membership_log_id: None,
            membership: Membership::default(),
            state_hash: [0; 32],
            next: NextIds { user: 1, conversation: 1, message: 1 },
        };
        progress.store(connection)?;
        Ok(progress)
    }

    /// Reads the row, if there is one.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Progress>> {
        connection
            .prepare_cached(
                "SELECT applied, membership_log_id, membership, state_hash, next_user, next_conversation, next_message
                 FROM progress",
            )?
            .query_row([], |row| {
                Ok(Progress {
                    applied: rows::optional_blob(row, 0)?,
                    membership_log_id: rows::optional_blob(row, 1)?,
                    membership: rows::optional_blob(row, 2)?.unwrap_or_default(),
                    state_hash: row.get(3)?,
                    next: NextIds {
                        user: rows::u64_at(row, 4)?,
                        conversation: rows::u64_at(row, 5)?,
                        message: rows::u64_at(row, 6)?,
                    },
                })
            })
            .optional()
    }

    fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        let blob = |id: &LogId| wire::replication::encode(id);
        connection
            .prepare_cached(
                "INSERT INTO progress (only, applied, membership_log_id, membership, state_hash, next_user,
                                       next_conversation, next_message) VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (only) DO UPDATE SET applied = ?1, membership_log_id = ?2, membership = ?3,
                    state_hash = ?4, next_user = ?5, next_conversation = ?6, next_message = ?7",
            )?
            .execute(params![
                self.applied.as_ref().map(blob),
                self.membership_log_id.as_ref().map(blob),
                wire::replication::encode(&self.membership),
                self.state_hash,
                rows::sql(self.next.user),
                rows::sql(self.next.conversation),
                rows::sql(self.next.message),
            ])?;
        Ok(())
    }
}

/// What a transaction knows about a conversation.
struct CachedConversation {
    rules: Rc<Conversation>,
    last_number: u64,
    /// `last_number` is ahead of the row.
    unwritten: bool,
}

/// One transaction under way.
pub(super) struct Tx<'c> {
    connection: &'c Connection,
    pub(super) progress: Progress,
    /// Whether a node was removed.
    pub(super) removals: bool,
    /// Whether a text was deleted.
    pub(super) deleted: bool,
    users: RefCell<BTreeMap<u64, Rc<User>>>,
    labels: RefCell<BTreeMap<String, u64>>,
    conversations: RefCell<BTreeMap<u64, CachedConversation>>,
    devices: RefCell<BTreeMap<u64, Device>>,
    writers: Writers,
}

impl<'c> Tx<'c> {
    /// `connection` must be inside a transaction.
    pub(super) fn new(connection: &'c Connection, progress: Progress) -> Tx<'c> {
        Tx {
            connection,
            progress,
            removals: false,
            deleted: false,
            users: RefCell::default(),
            labels: RefCell::default(),
            conversations: RefCell::default(),
            devices: RefCell::default(),
            writers: Writers::default(),
        }
    }

    /// Writes what was gathered. The caller commits.
    pub(super) fn finish(self) -> rusqlite::Result<Progress> {
        for (id, conversation) in self.conversations.into_inner() {
            if conversation.unwritten {
                execute(
                    self.connection,
                    "UPDATE conversations SET last_number = ?2, changed = ?3 WHERE id = ?1",
                    params![rows::sql(id), rows::sql(conversation.last_number), rows::sql(conversation.rules.changed)],
                )?;
            }
        }
        self.writers.finish(self.connection)?;
        self.progress.store(self.connection)?;
        Ok(self.progress)
    }

    /// A change has taken this number; 0: it has none.
    fn number(&mut self, changed: u64) {
        self.progress.next.message = self.progress.next.message.max(changed + 1);
    }

    /// Looks at a conversation, from memory if possible.
    fn with_conversation<T>(
        &self,
        id: u64,
        look: impl FnOnce(&mut CachedConversation) -> T,
    ) -> rusqlite::Result<Option<T>> {
        let mut cache = self.conversations.borrow_mut();
        if let Some(found) = cache.get_mut(&id) {
            return Ok(Some(look(found)));
        }
        let Some((rules, last_number)) = rows::conversation(self.connection, id)? else { return Ok(None) };
        let conversation = CachedConversation { rules: Rc::new(rules), last_number, unwritten: false };
        Ok(Some(look(cache.entry(id).or_insert(conversation))))
    }
}

/// A moment that SQL compares: as u64, one above `i64::MAX` never comes.
fn capped(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn execute(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

impl Lookup for Tx<'_> {
    type Error = rusqlite::Error;

    fn user(&self, id: u64) -> rusqlite::Result<Option<Rc<User>>> {
        if let Some(user) = self.users.borrow().get(&id) {
            return Ok(Some(Rc::clone(user)));
        }
        let Some(user) = rows::user(self.connection, id)?.map(Rc::new) else { return Ok(None) };
        self.users.borrow_mut().insert(id, Rc::clone(&user));
        Ok(Some(user))
    }

    fn user_named(&self, name: &str) -> rusqlite::Result<Option<u64>> {
        rows::user_named(self.connection, name)
    }

    fn user_folded(&self, fold: &str) -> rusqlite::Result<Option<u64>> {
        rows::user_folded(self.connection, fold)
    }

    fn conversation(&self, id: u64) -> rusqlite::Result<Option<Rc<Conversation>>> {
        self.with_conversation(id, |found| Rc::clone(&found.rules))
    }

    fn direct(&self, one: u64, other: u64) -> rusqlite::Result<Option<u64>> {
        rows::direct(self.connection, one, other)
    }

    fn labelled(&self, legacy_id: &str) -> rusqlite::Result<Option<u64>> {
        if let Some(&id) = self.labels.borrow().get(legacy_id) {
            return Ok(Some(id));
        }
        let found = rows::labelled(self.connection, legacy_id)?;
        if let Some(id) = found {
            self.labels.borrow_mut().insert(legacy_id.to_owned(), id);
        }
        Ok(found)
    }
}

impl State for Tx<'_> {
    fn next_ids(&self) -> NextIds {
        self.progress.next
    }

    fn is_name_held(&self, fold: &str, skeleton: &str, since_ms: u64) -> rusqlite::Result<bool> {
        name_keys::is_held(self.connection, (fold, skeleton), capped(since_ms))
    }

    fn last_number(&self, conversation: u64) -> rusqlite::Result<u64> {
        Ok(self.with_conversation(conversation, |found| found.last_number)?.unwrap_or(0))
    }

    fn sender(&self, conversation: u64, number: u64) -> rusqlite::Result<Option<u64>> {
        self.connection
            .prepare_cached("SELECT sender FROM messages WHERE conversation = ?1 AND number = ?2 AND deleted = 0")?
            .query_row(params![rows::sql(conversation), rows::sql(number)], |row| rows::u64_at(row, 0))
            .optional()
    }

    fn standing(&self, conversation: u64, user: u64) -> rusqlite::Result<Standing> {
        Ok(rows::standing(self.connection, conversation, user)?.unwrap_or_default())
    }

    fn acquaintances(&self, user: u64) -> rusqlite::Result<Vec<u64>> {
        rows::acquaintances(self.connection, user)
    }

    fn device(&self, id: u64) -> rusqlite::Result<Option<Device>> {
        if let Some(device) = self.devices.borrow().get(&id) {
            return Ok(Some(*device));
        }
        let Some(device) = device_rows::device(self.connection, id)? else { return Ok(None) };
        self.devices.borrow_mut().insert(id, device);
        Ok(Some(device))
    }

    fn live_devices(&self, user: u64) -> rusqlite::Result<Vec<u64>> {
        device_rows::live_devices(self.connection, user)
    }

    fn long_revoked_devices(&self, user: u64, kept: usize, at_once: usize) -> rusqlite::Result<Vec<u64>> {
        device_rows::long_revoked_devices(self.connection, user, kept, at_once)
    }

    fn tokens(&self, device: u64) -> rusqlite::Result<Vec<Token>> {
        device_rows::tokens(self.connection, device)
    }

    fn is_token(&self, hash: &[u8; 32]) -> rusqlite::Result<bool> {
        device_rows::is_token(self.connection, hash)
    }

    fn position(&self, device: u64) -> rusqlite::Result<Option<Position>> {
        self.writers.position(self.connection, device)
    }

    fn kept_run(&self, device: u64, seq: u64) -> rusqlite::Result<Option<KeptRun>> {
        self.writers.kept_run(self.connection, device, seq)
    }

    fn addresses(&self, user: u64) -> rusqlite::Result<Vec<[u8; 16]>> {
        self.connection
            .prepare_cached("SELECT address FROM bound_addresses WHERE user = ?1 ORDER BY until_ms, address")?
            .query_map([rows::sql(user)], |row| row.get(0))?
            .collect()
    }

    fn join_code(&self, hash: &[u8; 32]) -> rusqlite::Result<Option<JoinCode>> {
        self.connection
            .prepare_cached("SELECT expires_ms, used_by FROM join_codes WHERE hash = ?1")?
            .query_row([hash], |row| {
                let used_by: Option<i64> = row.get(1)?;
                Ok(JoinCode { expires_ms: rows::u64_at(row, 0)?, used_by: used_by.map(i64::cast_unsigned) })
            })
            .optional()
    }

    fn is_removed(&self, node: u64) -> rusqlite::Result<bool> {
        self.connection.prepare_cached("SELECT 1 FROM removed_nodes WHERE node = ?1")?.exists([rows::sql(node)])
    }

    fn write(&mut self, change: &Change<'_>) -> rusqlite::Result<()> {
        let sql = rows::sql;
        match *change {
            Change::UserAdded { id, name, nickname, password_hash, view_limit, time_ms } => {
                execute(
                    self.connection,
                    "INSERT INTO users (id, name, nickname, password_hash, view_limit, created_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![sql(id), name, nickname, password_hash, view_limit, sql(time_ms)],
                )?;
                self.progress.next.user = id + 1;
            }
            Change::UserDeleted { id, time_ms, changed } => {
                execute(
                    self.connection,
                    "UPDATE users SET deleted_ms = ?2, password_hash = NULL, changed = max(changed, ?3) WHERE id = ?1",
                    params![sql(id), sql(time_ms), sql(changed)],
                )?;
                self.users.get_mut().remove(&id);
                self.number(changed);
            }
            Change::ViewLimitSet { id, limit, changed } => {
                execute(
                    self.connection,
                    "UPDATE users SET view_limit = ?2, changed = max(changed, ?3) WHERE id = ?1",
                    params![sql(id), limit, sql(changed)],
                )?;
                self.users.get_mut().remove(&id);
                self.number(changed);
            }
            Change::NicknameSet { id, nickname, changed } => {
                execute(
                    self.connection,
                    // Whoever knows its key says so next.
                    "UPDATE users SET nickname = ?2, nickname_search = NULL, changed = ?3 WHERE id = ?1",
                    params![sql(id), nickname, sql(changed)],
                )?;
                self.number(changed);
            }
            Change::NameKeysSet { id, fold, skeleton, search } => {
                name_keys::set(self.connection, id, (fold, skeleton, search))?;
            }
            Change::NicknameKeySet { id, search } => name_keys::set_nickname(self.connection, id, search)?,
            Change::PasswordSet { id, password_hash } => {
                execute(
                    self.connection,
                    "UPDATE users SET password_hash = ?2 WHERE id = ?1",
                    params![sql(id), password_hash],
                )?;
            }
            Change::ConversationAdded { id, legacy_id, members, time_ms, changed } => {
                // One member is a notebook: a pair of the same person.
                let pair = match *members {
                    [one] => Some((one, one)),
                    [one, two] => Some((one, two)),
                    _ => None,
                };
                execute(
                    self.connection,
                    "INSERT INTO conversations (id, legacy_id, low, high, last_number, created_ms, changed)
                     VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)",
                    params![
                        sql(id),
                        legacy_id,
                        pair.map(|p| sql(p.0)),
                        pair.map(|p| sql(p.1)),
                        sql(time_ms),
                        sql(changed)
                    ],
                )?;
                for &member in members {
                    execute(
                        self.connection,
                        "INSERT INTO members (conversation, user, read_mark) VALUES (?1, ?2, 0)",
                        params![sql(id), sql(member)],
                    )?;
                }
                self.progress.next.conversation = id + 1;
                self.number(changed);
            }
            Change::MessageAdded { id, conversation, number, sender, time_ms, text, writer, seq } => {
                execute(
                    self.connection,
                    "INSERT INTO messages (id, conversation, number, sender, time_ms, text, device, epoch, seq)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        sql(id),
                        sql(conversation),
                        sql(number),
                        sql(sender),
                        sql(time_ms),
                        text,
                        sql(writer.device),
                        sql(writer.epoch),
                        sql(seq),
                    ],
                )?;
                self.number(id);
                self.with_conversation(conversation, |found| {
                    found.last_number = number;
                    found.unwritten = true;
                    // From before changes were numbered: it comes into sight now.
                    if number == 1 && found.rules.changed == 0 {
                        Rc::make_mut(&mut found.rules).changed = id;
                    }
                })?;
            }
            Change::MessageDeleted { conversation, number, changed } => {
                self.deleted = true;
                execute(
                    self.connection,
                    "UPDATE messages SET text = '', deleted = 1, changed = ?3
                     WHERE conversation = ?1 AND number = ?2 AND deleted = 0",
                    params![sql(conversation), sql(number), sql(changed)],
                )?;
                self.number(changed);
            }
            Change::ReadMarkRaised { conversation, user, upto } => {
                execute(
                    self.connection,
                    "UPDATE members SET read_mark = ?3, delivered_mark = max(delivered_mark, ?3)
                     WHERE conversation = ?1 AND user = ?2",
                    params![sql(conversation), sql(user), sql(upto)],
                )?;
            }
            Change::MarksRaised { conversation, user, delivered, read, changed } => {
                execute(
                    self.connection,
                    "UPDATE members SET delivered_mark = ?3, read_mark = ?4, changed = ?5
                     WHERE conversation = ?1 AND user = ?2",
                    params![sql(conversation), sql(user), sql(delivered), sql(read), sql(changed)],
                )?;
                self.number(changed);
            }
            Change::ViewCleared { conversation, user, upto, changed } => {
                execute(
                    self.connection,
                    "UPDATE members SET cleared = ?3, cleared_changed = ?4 WHERE conversation = ?1 AND user = ?2",
                    params![sql(conversation), sql(user), sql(upto), sql(changed)],
                )?;
                self.number(changed);
            }
            Change::CodeAdded { hash, expires_ms } => {
                execute(
                    self.connection,
                    "INSERT INTO join_codes (hash, expires_ms) VALUES (?1, ?2)",
                    params![hash, sql(expires_ms)],
                )?;
            }
            Change::CodeUsed { hash, node } => {
                execute(
                    self.connection,
                    "UPDATE join_codes SET used_by = ?2 WHERE hash = ?1",
                    params![hash, sql(node)],
                )?;
            }
            Change::CodesForgotten { expired_before_ms } => {
                execute(
                    self.connection,
                    "DELETE FROM join_codes WHERE expires_ms >= 0 AND expires_ms < ?1",
                    [capped(expired_before_ms)],
                )?;
            }
            Change::WriterMoved { writer, last_seq, kept, kept_first, kept_count } => {
                let kept = Kept { first: kept_first, count: kept_count, outcomes: kept };
                self.writers.moved(self.connection, writer, last_seq, kept)?;
            }
            Change::DeviceAdded { id, user, name, time_ms } => {
                execute(
                    self.connection,
                    "INSERT INTO devices (id, user, name, created_ms, seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)",
                    params![sql(id), sql(user), name, sql(time_ms)],
                )?;
            }
            Change::DeviceSeen { id, name, time_ms } => {
                execute(
                    self.connection,
                    "UPDATE devices SET name = coalesce(?2, name), seen_ms = ?3 WHERE id = ?1",
                    params![sql(id), name, sql(time_ms)],
                )?;
            }
            Change::DeviceRevoked { id, time_ms, .. } => {
                execute(
                    self.connection,
                    "UPDATE devices SET revoked_ms = ?2 WHERE id = ?1",
                    params![sql(id), sql(time_ms)],
                )?;
                execute(self.connection, "DELETE FROM device_tokens WHERE device = ?1", [sql(id)])?;
                self.writers.drop(self.connection, id)?;
                self.devices.get_mut().remove(&id);
            }
            Change::DeviceForgotten { id, .. } => {
                execute(self.connection, "DELETE FROM devices WHERE id = ?1", [sql(id)])?;
                self.devices.get_mut().remove(&id);
            }
            Change::TokenSet { device, hash, role, rank } => {
                device_rows::set_token(self.connection, device, hash, role, rank)?;
            }
            Change::TokenDropped { hash } => {
                execute(self.connection, "DELETE FROM device_tokens WHERE hash = ?1", [hash])?;
            }
            Change::AddressBound { address, user, until_ms } => {
                execute(
                    self.connection,
                    "INSERT INTO bound_addresses (address, user, until_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT (user, address) DO UPDATE SET until_ms = max(until_ms, ?3)",
                    params![address, sql(user), capped(until_ms)],
                )?;
            }
            Change::AddressFreed { address, user } => {
                execute(
                    self.connection,
                    "DELETE FROM bound_addresses WHERE user = ?2 AND address = ?1",
                    params![address, sql(user)],
                )?;
            }
            Change::AddressesExpired { before_ms } => {
                execute(self.connection, "DELETE FROM bound_addresses WHERE until_ms < ?1", [capped(before_ms)])?;
            }
            Change::NodeRemoved { node, name, by, time_ms } => {
                execute(
                    self.connection,
                    "INSERT INTO removed_nodes (node, name, by, time_ms) VALUES (?1, ?2, ?3, ?4)",
                    params![sql(node), name, by, sql(time_ms)],
                )?;
                self.removals = true;
            }
        }
        Ok(())
    }
}
