//! What `get_messages` shows.
//!
//! A socket's reply holds at most 2048 bytes, a call's 4 MiB, a conversation any number of messages, and one request
//! hands over at most the view limit of unread ones, oldest first. So the first reply to a page is made of two parts, in
//! this order of precedence:
//!
//! 1. the *window*: from the first unread message on, up to the view limit of unread ones, as many as fit;
//! 2. in front of it, backwards from there, as much of what was read before as still fits.
//!
//! Later replies to the same page keep the places of these messages and append what is new, within the same limit; see
//! [`super::page`].
//!
//! One's own messages count as read. Only what stands in the reply is marked read. A text that would not even fit alone is
//! cut at a character and ends in `…`; so is one for which an open page has not enough room left.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use wire::legacy::reply::{Message as Shown, Placeholder};
use wire::replication::command::Chat;

use super::answer::shown_name;
use super::page::{Page, Slot};
use super::reply::{self, small};
use super::room::{Form, Item, Room};
use super::timestamp::Timestamp;
use crate::chat::resolve::{Target, resolve};
use crate::chat::state::Lookup;
use crate::storage::query::{self, Member, Message, QueryError, StateReader};

/// Whether there is such a message, without its text.
const GLANCE: query::Page = query::Page { messages_max: 1, text_chars_max: 0, bytes_max: 0 };

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
    /// What the reply will be written as.
    pub(super) form: Form,
    /// What is seen is not known to be the newest: nothing is marked read, and the reply says so.
    pub(super) stale: bool,
}

/// A list, and what goes with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct History {
    /// What the reply shows.
    pub(super) entries: Vec<Entry>,
    /// What the page shows with it, if the conversation exists.
    pub(super) page: Option<Page>,
    /// Up to which message the user has now read.
    pub(super) read_upto: Option<u64>,
}

/// Builds the reply to a page that was just opened, or that is `open` and goes on; `None` if the user is no part of such a
/// conversation.
pub(super) fn history(
    reader: &StateReader,
    view: &View<'_>,
    open: Option<Page>,
) -> Result<Option<History>, QueryError> {
    let conversation = match resolve(reader, view.user, view.name, Chat::Legacy(view.chat))? {
        Target::Existing(id) => id,
        // As good as a conversation in which nothing has been said yet.
        Target::New { .. } | Target::PeerGone { .. } => {
            return Ok(Some(History { entries: Vec::new(), page: None, read_upto: None }));
        }
        Target::Unknown => return Ok(None),
    };
    let view_limit = reader.user(view.user)?.map_or(0, |user| user.view_limit);
    let members = reader.members(conversation)?;
    let people = People::new(&members, view.user);
    let end = reader.nth_unread(conversation, view.user, people.own_mark, view_limit)?.unwrap_or(u64::MAX);

    let scene = Scene { reader, view, conversation, people, end };
    let (entries, page) = match open.filter(|page| page.conversation == conversation) {
        Some(page) => scene.go_on(page)?,
        None => {
            let lines = scene.open()?;
            let page = Page::opened(conversation, lines.iter().map(|line| line.number).collect());
            (lines.into_iter().map(Entry::Line).collect(), page)
        }
    };
    let theirs = entries.iter().filter_map(Entry::line).filter(|line| line.sender_id != view.user);
    let read_upto = theirs.map(|line| line.number).max().filter(|&number| number > scene.people.own_mark);
    Ok(Some(History { entries, page: Some(page), read_upto: read_upto.filter(|_| !view.stale) }))
}

/// A conversation as one user sees it.
struct Scene<'a> {
    reader: &'a StateReader,
    view: &'a View<'a>,
    conversation: u64,
    people: People<'a>,
    /// The first message that the view limit keeps back.
    end: u64,
}

impl Scene<'_> {
    /// As much as could be shown.
    fn page(&self) -> query::Page {
        let form = self.view.form;
        query::Page {
            messages_max: form.messages_max(),
            text_chars_max: form.text_chars_max(),
            bytes_max: form.bytes_max(),
        }
    }

    /// What a page shows first.
    fn open(&self) -> Result<Vec<Line>, QueryError> {
        let Scene { reader, view, conversation, ref people, end } = *self;
        let first_unread = reader.nth_unread(conversation, view.user, people.own_mark, 0)?;
        let (window, before) = match first_unread {
            None => (Vec::new(), u64::MAX),
            Some(first) => (reader.oldest(conversation, first..end, self.page())?, first),
        };
        let older = reader.newest(conversation, 0..before, self.page())?;

        let mut room = room(view);
        let mut window = fit(&mut room, window.into_iter().map(|message| people.line(message)));
        let mut lines = fit(&mut room, older.into_iter().map(|message| people.line(message)));
        lines.reverse();
        lines.append(&mut window);
        Ok(lines)
    }

    /// What an open page is sent next.
    fn go_on(&self, mut page: Page) -> Result<(Vec<Entry>, Page), QueryError> {
        let gone = self.gone(page.asked())?;
        page.close_up(&gone);
        let slots = page.resume().to_vec();
        let mut shown = self.shown(&slots)?;

        // First a place for everything, then what is new, then as much of the old as there is room left.
        let mut room = room(self.view);
        let placed = slots.iter().all(|_| room.take(&Placeholder::ELSEWHERE));
        if !placed || !page.is_told() && !room.take(&Placeholder::PAGE_FULL) {
            return self.restart(page);
        }
        let after = page.newest().saturating_add(1);
        let waiting = self.reader.oldest(self.conversation, after..self.end, self.page())?;
        let any = !waiting.is_empty();
        let new = fit_behind(&mut room, waiting.into_iter().map(|message| self.people.line(message)));
        if any && new.is_empty() {
            return self.restart(page);
        }
        let notice = !page.is_told() && self.is_last(&new, slots.len());
        if !notice && !page.is_told() {
            room.put_back(&Placeholder::PAGE_FULL);
        }
        let mut entries = fill(&mut room, &slots, &mut shown);
        let last = new.len().saturating_sub(1);
        for (place, line) in new.into_iter().enumerate() {
            // In front of the last one, so that the newest message always ends the list.
            if notice && place == last {
                page.append_notice();
                entries.push(Entry::Placeholder(Placeholder::PAGE_FULL));
            }
            page.append(line.number);
            entries.push(Entry::Line(line));
        }
        Ok((entries, page))
    }

    /// Whether behind these new lines, and `before` others, there may be no place for one more.
    fn is_last(&self, new: &[Line], before: usize) -> bool {
        let Some(last) = new.last() else { return false };
        let mut room = room(self.view);
        let places = before + new.len() + 1;
        let placed = (0..places).all(|_| room.take(&Placeholder::ELSEWHERE));
        !placed || !room.take(&last.showing("")) || room.left() < CUT_BYTES_MIN
    }

    /// Starts a list afresh that has become too long to be sent.
    fn restart(&self, mut page: Page) -> Result<(Vec<Entry>, Page), QueryError> {
        let lines = self.open()?;
        page.restart(lines.iter().map(|line| line.number).collect());
        Ok((lines.into_iter().map(Entry::Line).collect(), page))
    }

    /// Which of these messages do not exist any more.
    fn gone(&self, numbers: &[u64]) -> Result<Vec<u64>, QueryError> {
        let mut gone = Vec::new();
        for &number in numbers {
            if self.reader.oldest(self.conversation, number..number.saturating_add(1), GLANCE)?.is_empty() {
                gone.push(number);
            }
        }
        Ok(gone)
    }

    /// The messages in these places, without those that were deleted.
    fn shown(&self, slots: &[Slot]) -> Result<BTreeMap<u64, Line>, QueryError> {
        let numbers = || slots.iter().flatten().copied();
        let (Some(first), Some(last)) = (numbers().min(), numbers().max()) else { return Ok(BTreeMap::new()) };
        let page = query::Page { messages_max: u32::try_from(slots.len()).unwrap_or(u32::MAX), ..self.page() };
        // Where there are more than a reply holds, it holds the newest.
        let messages = self.reader.newest(self.conversation, first..last.saturating_add(1), page)?;
        Ok(messages.into_iter().map(|message| (message.number, self.people.line(message))).collect())
    }
}

/// The room for the list of a reply.
fn room(view: &View<'_>) -> Room {
    let nothing: [Shown<&str>; 0] = [];
    Room::beside(view.form, &reply::messages(nothing.iter(), view.stale))
}

/// As many lines as fit, from the first on; the last one may be cut if it is too long for any reply.
fn fit(room: &mut Room, lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut fitting = Vec::new();
    for mut line in lines {
        if room.take(&line.shown()) {
            fitting.push(line);
            continue;
        }
        if !room.could_hold(&line.shown()) && line.cut_into(room) {
            fitting.push(line);
        }
        break;
    }
    fitting
}

/// As [`fit`], behind a list that cannot make more room for the first line than it does now.
fn fit_behind(room: &mut Room, lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut lines = lines.peekable();
    match lines.next_if(|line| !room.fits(&line.shown())) {
        Some(mut first) => {
            if first.cut_into(room) {
                vec![first]
            } else {
                Vec::new()
            }
        }
        None => fit(room, lines),
    }
}

/// The entries for places that have the room of a placeholder: from the newest on backwards the messages themselves, as
/// long as they fit.
fn fill(room: &mut Room, slots: &[Slot], shown: &mut BTreeMap<u64, Line>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut filling = true;
    for slot in slots.iter().rev() {
        let mut entry = Entry::Placeholder(Placeholder::ELSEWHERE);
        if let (true, Some(number)) = (filling, slot) {
            let mut line = shown.remove(number);
            room.put_back(&entry);
            let taken = match &mut line {
                None => room.take(&Placeholder::DELETED),
                Some(line) => {
                    room.take(&line.shown())
                        || entries.is_empty() && !room.could_hold(&line.shown()) && line.cut_into(room)
                }
            };
            if taken {
                entry = line.map_or(Entry::Placeholder(Placeholder::DELETED), Entry::Line);
            } else {
                room.take(&entry);
                filling = false;
            }
        }
        entries.push(entry);
    }
    entries.reverse();
    entries
}

/// One item of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// A message.
    #[serde(serialize_with = "serialize_line")]
    Line(Line),
    /// Something in the place of one.
    Placeholder(Placeholder<&'static str>),
}

impl Entry {
    fn line(&self) -> Option<&Line> {
        match self {
            Entry::Line(line) => Some(line),
            Entry::Placeholder(_) => None,
        }
    }
}

impl Item for Entry {
    fn text_len(&self) -> usize {
        match self {
            Entry::Line(line) => line.shown().text_len(),
            Entry::Placeholder(placeholder) => placeholder.text_len(),
        }
    }
}

fn serialize_line<S: serde::Serializer>(line: &Line, serializer: S) -> Result<S::Ok, S::Error> {
    line.shown().serialize(serializer)
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
#[derive(Clone, PartialEq)]
pub(crate) struct Line {
    number: u64,
    sender_id: u64,
    id: i64,
    pub(crate) sender: String,
    receiver: String,
    pub(crate) content: String,
    pub(crate) timestamp: String,
    read: u8,
}

/// Without the text, which belongs in no log.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Line {
    fn shown(&self) -> Shown<&str> {
        self.showing(&self.content)
    }

    fn showing<'a>(&'a self, content: &'a str) -> Shown<&'a str> {
        let Line { id, ref sender, ref receiver, ref timestamp, read, .. } = *self;
        Shown { id, sender, receiver, content, timestamp, read }
    }

    /// Shortens the text to what fits and takes the room. False if that is too little to be worth it.
    fn cut_into(&mut self, room: &mut Room) -> bool {
        if room.left() < CUT_BYTES_MIN {
            return false;
        }
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
