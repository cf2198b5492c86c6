//! What people read: local times, names, delivery marks, wrapped to the terminal.

use std::io::{self, Write};

use chrono::{DateTime, Local, NaiveDate};
use client_fltk::model::{Delivery, Message, Model};

use crate::Stop;

/// Columns without a terminal.
const WIDTH_DEFAULT: usize = 80;
/// Columns below which wrapping makes nothing better.
const WIDTH_MIN: usize = 30;

/// Prints lines and remembers which day it is on the screen.
pub(crate) struct Screen {
    width: usize,
    day: Option<NaiveDate>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        let width = size.map_or(WIDTH_DEFAULT, |size| usize::from(size.ws_col));
        Self { width: if width == 0 { WIDTH_DEFAULT } else { width.max(WIDTH_MIN) }, day: None }
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Stop> {
        print(text)
    }

    /// A message, below the day it is of. `room`: also say in which conversation.
    pub(crate) fn message(
        &mut self,
        model: &Model,
        conversation: u64,
        message: &Message,
        room: bool,
    ) -> Result<(), Stop> {
        let time = local(message.time_ms);
        let day = time.map(|time| time.date_naive());
        if day.is_some() && day != self.day {
            self.day = day;
            print(&format!(
                "-- {} --",
                time.map_or_else(String::new, |time| time.format("%A, %-d %B %Y").to_string())
            ))?;
        }
        print(&message_text(model, conversation, message, room, self.width))
    }
}

fn message_text(model: &Model, conversation: u64, message: &Message, room: bool, width: usize) -> String {
    let own = message.sender == model.me();
    let name = clean(&model.name(message.sender));
    let clock = local(message.time_ms).map_or_else(|| "     ".to_owned(), |time| time.format("%H:%M").to_string());
    let members = model.conversations.get(&conversation).map_or(0, |found| found.members.len());
    // In a direct conversation the others' name says where it is.
    let place = if room && (own || members > 2) {
        format!(" to {}", clean(&others(model, conversation, message.sender)))
    } else {
        String::new()
    };
    let head = format!("{clock} {:>5} {name}{place}: ", format!("#{}", message.number));
    let marks = if own { format!(" {}", marks(model.delivery(conversation, message.number))) } else { String::new() };
    wrap(&head, &format!("{}{marks}", clean(&message.text)), width)
}

fn others(model: &Model, conversation: u64, sender: u64) -> String {
    let me = model.me();
    if sender == me {
        return model.title(conversation);
    }
    let found = model.conversations.get(&conversation);
    let members = found.into_iter().flat_map(|found| found.members.keys());
    let names: Vec<_> = members
        .filter(|&&user| user != sender)
        .map(|&user| if user == me { "you".to_owned() } else { model.name(user) })
        .collect();
    names.join(", ")
}

/// How far a message of one's own has come.
pub(crate) fn marks(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Queued => "…",
        Delivery::Stored => "✓",
        Delivery::Delivered => "✓✓",
        Delivery::Read => "✓✓ read",
    }
}

/// Text behind a head, its further lines below its first one.
pub(crate) fn wrap(head: &str, text: &str, width: usize) -> String {
    // Beyond half the line the indent would leave no room.
    let indent = textwrap::core::display_width(head).min(width / 2);
    let indent = " ".repeat(indent);
    let options = |first| textwrap::Options::new(width).initial_indent(first).subsequent_indent(&indent);
    let mut lines = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let first = if at == 0 { head } else { &*indent };
        lines.extend(textwrap::wrap(line, options(first)).into_iter().map(|line| line.trim_end().to_owned()));
    }
    lines.join("\n")
}

/// Without what could steer a terminal or turn the order of what is read.
pub(crate) fn clean(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' => c,
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// A moment in the local time zone; `None` beyond what calendars know.
pub(crate) fn local(time_ms: u64) -> Option<DateTime<Local>> {
    let time = DateTime::from_timestamp_millis(i64::try_from(time_ms).ok()?)?;
    Some(time.with_timezone(&Local))
}

/// A line to standard output. That nobody reads it any more ends the program, quietly.
pub(crate) fn print(line: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|_| Stop::OutputClosed)
}

#[cfg(test)]
mod tests {
    use client_fltk::model::delta::Summary;
    use client_fltk::model::{Account, Delta, Marks, Person};

    use super::*;

    #[test]
    fn long_messages_wrap_below_their_beginning() {
        assert_eq!(wrap("12:00 bo: ", "one two three four", 20), "12:00 bo: one two\n          three four");
        assert_eq!(wrap("12:00 bo: ", "one\ntwo", 40), "12:00 bo: one\n          two");
        assert_eq!(wrap("a: ", "漢字漢字漢字", 11), "a: 漢字漢字\n   漢字");
        assert_eq!(wrap("a: ", "", 20), "a:");
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\u{202e}c\r\x07\td\n"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\u{fffd} d\n");
    }

    #[test]
    fn own_messages_tell_how_far_they_have_come() {
        let person = |user, name: &str| Person { user, username: name.into(), nickname: name.into(), gone: false };
        let mut model = Model::default();
        let account = Account { user: 1, username: "al".into(), nickname: "al".into(), view_limit: 6 };
        let members = vec![(person(1, "al"), Marks::default()), (person(2, "bo"), Marks { delivered: 2, read: 1 })];
        model.apply(&Delta::Account(account));
        model.apply(&Delta::Conversation(Summary { conversation: 7, members, last_number: 3, ..Summary::default() }));
        let shown = |sender, number, room| {
            let message = Message { number, sender, text: "x".into(), ..Message::default() };
            message_text(&model, 7, &message, room, 80).split_once(' ').unwrap().1.trim_start().to_owned()
        };
        assert_eq!(shown(1, 1, false), "#1 al: x ✓✓ read");
        assert_eq!(shown(1, 2, true), "#2 al to bo: x ✓✓");
        assert_eq!(shown(1, 3, false), "#3 al: x ✓");
        assert_eq!(shown(2, 3, true), "#3 bo: x");
    }
}
