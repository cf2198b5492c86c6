//! Rows to and from the model. SQLite's integers are signed: numbers beyond them, which no cluster reaches, are kept as
//! the largest.

use std::collections::BTreeMap;

use rusqlite::{Connection, Params, Row, Transaction, params};
use wire::chat::Code;
use wire::chat::item::Token;

use super::touched::Touched;
use super::{Identity, StoreError};
use crate::model::aside::ASIDE;
use crate::model::{
    Account, Conversation, Marks, Message, Model, Outgoing, Person, Refusal, Spans, Target, Text, Write, WriteState,
    is_aside,
};

pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

// ---- writing -------------------------------------------------------------------------------------------------

pub(super) fn write(to: &Transaction<'_>, touched: &Touched, model: &Model) -> rusqlite::Result<()> {
    if touched.wipe {
        to.execute_batch(
            "DELETE FROM outbox; DELETE FROM drafts; UPDATE identity SET device = 0, token = NULL;
             DELETE FROM people; DELETE FROM conversations; DELETE FROM members; DELETE FROM messages; DELETE FROM spans;",
        )?;
    }
    if touched.set_aside {
        set_aside(to, touched, model)?;
    }
    if touched.account {
        let account = model.account.clone().unwrap_or_default();
        execute(
            to,
            "UPDATE identity SET user = ?1, username = ?2, nickname = ?3, view_limit = ?4",
            params![integer(account.user), account.username, account.nickname, integer(account.view_limit)],
        )?;
    }
    if touched.cursor {
        execute(to, "UPDATE identity SET cursor = ?1", [integer(model.cursor)])?;
    }
    for person in touched.people.iter().filter_map(|user| model.people.get(user)) {
        write_person(to, person)?;
    }
    for conversation in touched.conversations.iter().filter_map(|id| model.conversations.get(id)) {
        write_conversation(to, conversation)?;
    }
    for &(id, number) in &touched.messages {
        if let Some(message) = model.conversations.get(&id).and_then(|found| found.messages.get(&number)) {
            write_message(to, id, message)?;
        } else {
            // Deleted, and not in memory: on disk it may be.
            execute(
                to,
                "UPDATE messages SET deleted = 1, text = '' WHERE conversation = ?1 AND number = ?2",
                [integer(id), integer(number)],
            )?;
        }
    }
    for &key in &touched.outbox {
        execute(to, "DELETE FROM outbox WHERE key = ?1", [integer(key)])?;
        if let Some(outgoing) = model.outbox.get(&key) {
            write_outgoing(to, outgoing)?;
        }
    }
    if touched.seen_through {
        drop_seen_through(to, model)?;
    }
    for &conversation in &touched.drafts {
        execute(to, "DELETE FROM drafts WHERE conversation = ?1", [integer(conversation)])?;
        if let Some(text) = model.drafts.get(&conversation) {
            execute(to, "INSERT INTO drafts VALUES (?1, ?2)", params![integer(conversation), &**text])?;
        }
    }
    Ok(())
}

/// As [`Model`] does it, and for messages that are not in memory too.
fn set_aside(to: &Transaction<'_>, touched: &Touched, model: &Model) -> rusqlite::Result<()> {
    let (me, aside) = (integer(model.me()), integer(ASIDE));
    // The model has those that came, and those that went are not to come back.
    for &(conversation, number) in &touched.messages_before {
        let row = [integer(conversation), integer(number)];
        execute(to, "DELETE FROM messages WHERE conversation = ?1 AND number = ?2", row)?;
    }
    for &(conversation, upto) in &touched.cleared_before {
        let rows = [integer(conversation), integer(upto)];
        execute(to, "DELETE FROM messages WHERE conversation = ?1 AND number <= ?2", rows)?;
    }
    execute(to, "DELETE FROM messages WHERE conversation < ?1 AND deleted = 1", [aside])?;
    execute(
        to,
        "UPDATE OR IGNORE messages SET conversation = conversation + ?1,
            sender = CASE WHEN sender = ?2 OR sender >= ?1 THEN sender ELSE sender + ?1 END
         WHERE conversation < ?1",
        [aside, me],
    )?;
    execute(to, "DELETE FROM messages WHERE conversation < ?1", [aside])?;
    to.execute_batch("DELETE FROM people; DELETE FROM conversations; DELETE FROM members; DELETE FROM spans;")?;
    for person in model.people.values().filter(|person| is_aside(person.user)) {
        write_person(to, person)?;
    }
    for conversation in model.conversations.values().filter(|conversation| is_aside(conversation.id)) {
        write_conversation(to, conversation)?;
        for message in conversation.messages.values() {
            write_message(to, conversation.id, message)?;
        }
    }
    Ok(())
}

fn write_person(to: &Transaction<'_>, person: &Person) -> rusqlite::Result<()> {
    execute(
        to,
        "INSERT OR REPLACE INTO people VALUES (?1, ?2, ?3, ?4)",
        params![integer(person.user), person.username, person.nickname, person.gone],
    )?;
    Ok(())
}

fn execute(to: &Transaction<'_>, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    to.prepare_cached(sql)?.execute(params)
}

fn write_conversation(to: &Transaction<'_>, conversation: &Conversation) -> rusqlite::Result<()> {
    let id = integer(conversation.id);
    let preview = conversation.preview.as_ref();
    execute(
        to,
        "INSERT OR REPLACE INTO conversations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            id,
            integer(conversation.last_number),
            integer(conversation.cleared),
            conversation.behind,
            integer(conversation.handed),
            integer(conversation.read_here),
            integer(conversation.unheld),
            integer(conversation.told),
            preview.map(|message| integer(message.number)),
            preview.map(|message| integer(message.id)),
            preview.map(|message| integer(message.sender)),
            preview.map(|message| integer(message.time_ms)),
            preview.map(|message| &*message.text),
        ],
    )?;
    execute(to, "DELETE FROM messages WHERE conversation = ?1 AND number <= ?2", [id, integer(conversation.cleared)])?;
    execute(to, "DELETE FROM members WHERE conversation = ?1", [id])?;
    for (&user, marks) in &conversation.members {
        execute(
            to,
            "INSERT INTO members VALUES (?1, ?2, ?3, ?4)",
            [id, integer(user), integer(marks.delivered), integer(marks.read)],
        )?;
    }
    execute(to, "DELETE FROM spans WHERE conversation = ?1", [id])?;
    for (first, last) in conversation.spans.iter() {
        execute(to, "INSERT INTO spans VALUES (?1, ?2, ?3)", [id, integer(first), integer(last)])?;
    }
    Ok(())
}

fn write_message(to: &Transaction<'_>, conversation: u64, message: &Message) -> rusqlite::Result<()> {
    execute(
        to,
        "INSERT OR REPLACE INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            integer(conversation),
            integer(message.number),
            integer(message.id),
            integer(message.sender),
            integer(message.time_ms),
            &*message.text,
            message.deleted,
            integer(message.seq),
        ],
    )?;
    Ok(())
}

fn write_outgoing(to: &Transaction<'_>, outgoing: &Outgoing) -> rusqlite::Result<()> {
    let (kind, conversation, text, number, numbers) = match &outgoing.write {
        Write::Send { to: Target::Conversation(id), text } => ("send", *id, &**text, 0, &[][..]),
        Write::Send { to: Target::Username(_), text } => ("send_to", 0, &**text, 0, &[][..]),
        // The column holds whatever id the message is for.
        Write::Send { to: Target::Account { user, .. }, text } => ("send_to_account", *user, &**text, 0, &[][..]),
        Write::Delete { conversation, numbers } => ("delete", *conversation, "", 0, &numbers[..]),
        Write::Clear { conversation, upto } => ("clear", *conversation, "", *upto, &[][..]),
        Write::Nickname(nickname) => ("nickname", 0, &**nickname, 0, &[][..]),
        Write::ViewLimit(limit) => ("view_limit", 0, "", *limit, &[][..]),
    };
    let username = match &outgoing.write {
        Write::Send { to: Target::Username(username) | Target::Account { username, .. }, .. } => username,
        _ => "",
    };
    let none = Refusal { code: Code::default(), text: String::new() };
    let (state, stored, refusal) = match &outgoing.state {
        WriteState::Queued => ("queued", (0, 0), &none),
        WriteState::Sent => ("sent", (0, 0), &none),
        WriteState::Stored { conversation, number } => ("stored", (*conversation, *number), &none),
        WriteState::Refused(refusal) => ("refused", (0, 0), refusal),
    };
    execute(
        to,
        "INSERT INTO outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            integer(outgoing.key),
            integer(outgoing.seq),
            kind,
            integer(conversation),
            username,
            text,
            integer(number),
            integer(outgoing.created_ms),
            state,
            integer(stored.0),
            integer(stored.1),
            refusal.code.number(),
            refusal.text,
        ],
    )?;
    for &number in numbers {
        execute(to, "INSERT INTO deletions VALUES (?1, ?2)", [integer(outgoing.key), integer(number)])?;
    }
    Ok(())
}

/// Removes from disk what the model has removed by itself when the messages in question came.
fn drop_seen_through(to: &Transaction<'_>, model: &Model) -> rusqlite::Result<()> {
    let mut query = to.prepare_cached("SELECT key FROM outbox")?;
    let keys = query.query_map([], |row| number(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for key in keys.into_iter().filter(|key| !model.outbox.contains_key(key)) {
        execute(to, "DELETE FROM outbox WHERE key = ?1", [integer(key)])?;
    }
    Ok(())
}

// ---- reading -------------------------------------------------------------------------------------------------

pub(super) fn identity(from: &Connection) -> Result<Identity, StoreError> {
    let (cluster, pin, device, token) =
        from.query_row("SELECT cluster, pin, device, token FROM identity", [], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, Option<String>>(1)?,
                number(row, 2)?,
                row.get::<_, Option<Vec<u8>>>(3)?,
            ))
        })?;
    let pin = pin.map(|pin| pin.parse()).transpose().map_err(|_| StoreError::Damaged("its pin is none"))?;
    let token = token
        .map(|bytes| bytes.try_into().map(Token))
        .transpose()
        .map_err(|_| StoreError::Damaged("its token is none"))?;
    Ok(Identity { cluster, pin, device, token })
}

pub(super) fn model(from: &Connection) -> Result<Model, StoreError> {
    let mut model = Model::default();
    from.query_row("SELECT user, username, nickname, view_limit, cursor FROM identity", [], |row| {
        let account = Account {
            user: number(row, 0)?,
            username: row.get(1)?,
            nickname: row.get(2)?,
            view_limit: number(row, 3)?,
        };
        model.account = (account.user != 0).then_some(account);
        model.cursor = number(row, 4)?;
        Ok(())
    })?;
    each(from, "SELECT user, username, nickname, gone FROM people", |row| {
        let person = Person { user: number(row, 0)?, username: row.get(1)?, nickname: row.get(2)?, gone: row.get(3)? };
        model.people.insert(person.user, person);
        Ok(())
    })?;
    model.note_names();
    each(from, "SELECT * FROM conversations", |row| {
        let conversation = conversation(row)?;
        model.conversations.insert(conversation.id, conversation);
        Ok(())
    })?;
    each(from, "SELECT conversation, user, delivered, read FROM members", |row| {
        if let Some(conversation) = model.conversations.get_mut(&number(row, 0)?) {
            let marks = Marks { delivered: number(row, 2)?, read: number(row, 3)? };
            conversation.members.insert(number(row, 1)?, marks);
        }
        Ok(())
    })?;
    let mut spans: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    each(from, "SELECT conversation, first, last FROM spans", |row| {
        spans.entry(number(row, 0)?).or_default().push((number(row, 1)?, number(row, 2)?));
        Ok(())
    })?;
    for (id, ranges) in spans {
        if let Some(conversation) = model.conversations.get_mut(&id) {
            conversation.spans = Spans::from_ranges(ranges);
        }
    }
    let me = model.me();
    let mut tail = from.prepare(&format!("{MESSAGE} WHERE conversation = ?1 AND number >= ?2"))?;
    for conversation in model.conversations.values_mut() {
        let from = [integer(conversation.id), integer(conversation.tail_from(me))];
        let messages = tail.query_map(from, message)?;
        conversation.messages =
            messages.map(|message| message.map(|message| (message.number, message))).collect::<Result<_, _>>()?;
    }
    drop(tail);
    outbox(from, &mut model)?;
    each(from, "SELECT conversation, text FROM drafts", |row| {
        model.drafts.insert(number(row, 0)?, Text(row.get(1)?));
        Ok(())
    })?;
    Ok(model)
}

fn each(from: &Connection, sql: &str, mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let mut query = from.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    let preview = match row.get::<_, Option<i64>>(8)? {
        None => None,
        Some(_) => Some(Message {
            number: number(row, 8)?,
            id: number(row, 9)?,
            sender: number(row, 10)?,
            time_ms: number(row, 11)?,
            text: Text(row.get(12)?),
            ..Message::default()
        }),
    };
    Ok(Conversation {
        id: number(row, 0)?,
        last_number: number(row, 1)?,
        cleared: number(row, 2)?,
        behind: row.get(3)?,
        handed: number(row, 4)?,
        read_here: number(row, 5)?,
        unheld: number(row, 6)?,
        told: number(row, 7)?,
        preview,
        ..Conversation::default()
    })
}

/// Not the number of the write: once the message is here its write is done, and the next device of this profile counts anew.
const MESSAGE: &str = "SELECT number, id, sender, time_ms, text, deleted FROM messages";

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        number: number(row, 0)?,
        id: number(row, 1)?,
        sender: number(row, 2)?,
        time_ms: number(row, 3)?,
        text: Text(row.get(4)?),
        deleted: row.get(5)?,
        seq: 0,
    })
}

pub(super) fn messages_before(
    from: &Connection,
    conversation: u64,
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Message>> {
    let mut query = from
        .prepare_cached(&format!("{MESSAGE} WHERE conversation = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3"))?;
    let before = if before == 0 { u64::MAX } else { before };
    let rows = query.query_map([integer(conversation), integer(before), integer(limit as u64)], message)?;
    rows.collect()
}

fn outbox(from: &Connection, model: &mut Model) -> Result<(), StoreError> {
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    each(from, "SELECT key, number FROM deletions ORDER BY key, number", |row| {
        numbers.entry(number(row, 0)?).or_default().push(number(row, 1)?);
        Ok(())
    })?;
    let mut damaged = false;
    each(from, "SELECT * FROM outbox", |row| {
        let (key, conversation, upto) = (number(row, 0)?, number(row, 3)?, number(row, 6)?);
        let text = |column| row.get::<_, String>(column);
        let write = match &*text(2)? {
            "send" => Write::Send { to: Target::Conversation(conversation), text: Text(text(5)?) },
            "send_to_account" => {
                let to = Target::Account { user: conversation, username: text(4)? };
                Write::Send { to, text: Text(text(5)?) }
            }
            "send_to" => Write::Send { to: Target::Username(text(4)?), text: Text(text(5)?) },
            "delete" => Write::Delete { conversation, numbers: numbers.remove(&key).unwrap_or_default() },
            "clear" => Write::Clear { conversation, upto },
            "nickname" => Write::Nickname(text(5)?),
            "view_limit" => Write::ViewLimit(upto),
            _ => {
                damaged = true;
                return Ok(());
            }
        };
        let state = match &*text(8)? {
            "queued" => WriteState::Queued,
            "sent" => WriteState::Sent,
            "stored" => WriteState::Stored { conversation: number(row, 9)?, number: number(row, 10)? },
            "refused" => WriteState::Refused(Refusal { code: Code::from_number(row.get(11)?), text: text(12)? }),
            _ => {
                damaged = true;
                return Ok(());
            }
        };
        model.outbox.insert(key, Outgoing { key, seq: number(row, 1)?, write, created_ms: number(row, 7)?, state });
        Ok(())
    })?;
    if damaged {
        return Err(StoreError::Damaged("its outbox holds something unknown"));
    }
    Ok(())
}
