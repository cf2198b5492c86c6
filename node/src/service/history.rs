//! What `get_messages` shows.
//!
//! A reply holds at most 2048 bytes, a conversation any number of messages, and one request hands over at most the view
//! limit of unread ones, oldest first. So a reply is made of two parts, in this order of precedence:
//!
//! 1. the *window*: from the first unread message on, up to the view limit of unread ones, as many as fit;
//! 2. in front of it, backwards from there, as much of what was read before as still fits.
//!
//! One's own messages count as read. Only what stands in the reply is marked read, up to the last unread message of the
//! window. A text that would not even fit alone is cut at a character and ends in `…`.

use wire::codec::Codec;
use wire::legacy::reply::{Items, Message as Shown, MessagesReply};
use wire::limits::LEGACY_REPLY_BYTES_MAX;
use wire::replication::command::Chat;

use super::reply::{Room, encode, shown_name, small};
use super::timestamp::Timestamp;
use crate::chat::resolve::{Target, resolve};
use crate::chat::state::Lookup;
use crate::storage::query::{Member, Message, Page, QueryError, StateReader};

/// As much as could be shown: each message takes more than a hundred bytes, each character at least one.
const PAGE: Page = Page { messages_max: 20, text_chars_max: LEGACY_REPLY_BYTES_MAX as u32 };

/// A text is not cut to fewer bytes than this; it is rather left for the next reply.
const CUT_BYTES_MIN: usize = 200;

/// What a cut text ends in.
const CUT_MARK: char = '…';

/// Who looks at what.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    /// Whose request.
    pub(super) user: u64,
    /// Its name.
    pub(super) name: &'a str,
    /// Text id of the conversation.
    pub(super) chat: &'a str,
    /// The connection's codec.
    pub(super) codec: Codec,
    /// What is seen is not known to be the newest: nothing is marked read, and the reply says so.
    pub(super) stale: bool,
}

/// A reply, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    /// Encoded.
    pub(super) reply: Vec<u8>,
    /// What is shown, if the conversation exists.
    pub(super) list: Option<List>,
    /// Up to which message the user has now read.
    pub(super) read_upto: Option<u64>,
}

/// The messages of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// In which conversation.
    pub(super) conversation: u64,
    /// Their numbers, as listed.
    pub(super) numbers: Vec<u64>,
}

/// Builds the reply; `None` if the user is no part of such a conversation.
pub(super) fn history(reader: &StateReader, view: &View<'_>) -> Result<Option<History>, QueryError> {
    let conversation = match resolve(reader, view.user, view.name, Chat::Legacy(view.chat))? {
        Target::Existing(id) => id,
        // As good as a conversation in which nothing has been said yet.
        Target::New { .. } | Target::PeerGone { .. } => {
            let nothing: [Shown<&str>; 0] = [];
            return Ok(Some(History { reply: whole(view, nothing.iter()), list: None, read_upto: None }));
        }
        Target::Unknown => return Ok(None),
    };
    let view_limit = reader.user(view.user)?.map_or(0, |user| user.view_limit);
    let members = reader.members(conversation)?;
    let people = People::new(&members, view.user);

    let first_unread = reader.nth_unread(conversation, view.user, people.own_mark, 0)?;
    let (window, before) = match first_unread {
        None => (Vec::new(), u64::MAX),
        Some(first) => {
            let end = reader.nth_unread(conversation, view.user, people.own_mark, view_limit)?.unwrap_or(u64::MAX);
            (reader.oldest(conversation, first..end, PAGE)?, first)
        }
    };
    let older = reader.newest(conversation, 0..before, PAGE)?;

    let nothing: [Shown<&str>; 0] = [];
    let empty = reply(view, nothing.iter());
    let mut room = Room::beside(view.codec, &empty);
    let mut window: Vec<Line> = fit(&mut room, window.into_iter().map(|message| people.line(message)));
    let read_upto = window.iter().rev().find(|line| line.sender_id != view.user).map(|line| line.number);
    let mut lines = fit(&mut room, older.into_iter().map(|message| people.line(message)));
    lines.reverse();
    lines.append(&mut window);

    Ok(Some(History {
        reply: whole(view, lines.iter().map(Line::shown)),
        list: Some(List { conversation, numbers: lines.iter().map(|line| line.number).collect() }),
        read_upto: read_upto.filter(|_| !view.stale),
    }))
}

fn reply<I>(view: &View<'_>, messages: I) -> MessagesReply<Items<I>, &'static str> {
    MessagesReply { success: Some(true), messages: Items(messages), error_message: "", stale: view.stale }
}

fn whole<I: Iterator<Item: serde::Serialize> + Clone>(view: &View<'_>, messages: I) -> Vec<u8> {
    encode(view.codec, &reply(view, messages))
}

/// As many lines as fit, from the first on; the last one may be cut.
fn fit(room: &mut Room, lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut fitting = Vec::new();
    for mut line in lines {
        if room.take(&line.shown()) {
            fitting.push(line);
            continue;
        }
        if !room.could_hold(&line.shown()) && room.left() >= CUT_BYTES_MIN && line.cut_into(room) {
            fitting.push(line);
        }
        break;
    }
    fitting
}

/// The members as the reply names them.
struct People<'a> {
    members: &'a [Member],
    user: u64,
    own_mark: u64,
    /// Up to here everybody else has read; in a notebook there is nobody else.
    others_mark: u64,
}

impl<'a> People<'a> {
    fn new(members: &'a [Member], user: u64) -> People<'a> {
        let own_mark = members.iter().find(|member| member.user == user).map_or(0, |member| member.read_mark);
        let others = members.iter().filter(|member| member.user != user);
        let others_mark = others.map(|member| member.read_mark).min().unwrap_or(u64::MAX);
        People { members, user, own_mark, others_mark }
    }

    fn line(&self, message: Message) -> Line {
        let name = |member: Option<&Member>| member.map(|m| shown_name(&m.name, m.live)).unwrap_or_default();
        let sender = self.members.iter().find(|member| member.user == message.sender);
        let receiver = self.members.iter().find(|member| member.user != message.sender).or(sender);
        let mark = if message.sender == self.user { self.others_mark } else { self.own_mark };
        Line {
            number: message.number,
            sender_id: message.sender,
            id: small(message.id),
            sender: name(sender),
            receiver: name(receiver),
            content: message.text,
            timestamp: Timestamp(message.time_ms).to_string(),
            read: u8::from(message.number <= mark),
        }
    }
}

/// One message of the reply.
struct Line {
    number: u64,
    sender_id: u64,
    id: i64,
    sender: String,
    receiver: String,
    content: String,
    timestamp: String,
    read: u8,
}

impl Line {
    fn shown(&self) -> Shown<&str> {
        self.showing(&self.content)
    }

    fn showing<'a>(&'a self, content: &'a str) -> Shown<&'a str> {
        let Line { id, ref sender, ref receiver, ref timestamp, read, .. } = *self;
        Shown { id, sender, receiver, content, timestamp, read }
    }

    /// Shortens the text to what fits and takes the room. False if not one character does.
    fn cut_into(&mut self, room: &mut Room) -> bool {
        let ends: Vec<usize> = self.content.char_indices().map(|(at, _)| at).collect();
        let cut = |end: usize| {
            let mut text = self.content[..end].to_owned();
            text.push(CUT_MARK);
            text
        };
        // A longer text never takes fewer bytes, so the longest that fits is found by halving.
        let fitting = ends.partition_point(|&end| room.fits(&self.showing(&cut(end))));
        // `ends[0]` is the mark alone.
        let Some(&end) = fitting.checked_sub(1).filter(|&last| last > 0).and_then(|last| ends.get(last)) else {
            return false;
        };
        self.content = cut(end);
        room.take(&self.shown())
    }
}
