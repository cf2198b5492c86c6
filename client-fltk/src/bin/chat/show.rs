//! What people read: local times, names, delivery marks, wrapped to the terminal.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;

use chrono::{DateTime, Local, NaiveDate};
use client_fltk::harmless::{self, for_line, for_terminal};
use client_fltk::model::{Delivery, Message, Model};
use serde_json::Value;
use textwrap::WordSeparator;
use textwrap::core::{Word, display_width};
use textwrap::wrap_algorithms::wrap_first_fit;

use crate::Stop;

/// Columns of a terminal that does not say how many it has.
const WIDTH_DEFAULT: usize = 80;
/// Columns below which wrapping makes nothing better.
const WIDTH_MIN: usize = 30;

/// Prints lines and remembers which day it is on the screen.
pub(crate) struct Screen {
    /// `None`: no terminal, whose reader wants each message as it is.
    width: Option<usize>,
    day: Option<NaiveDate>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let columns = || match rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col) {
            0 => WIDTH_DEFAULT,
            columns => usize::from(columns).max(WIDTH_MIN),
        };
        Self { width: io::stdout().is_terminal().then(columns), day: None }
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

fn message_text(model: &Model, conversation: u64, message: &Message, room: bool, width: Option<usize>) -> String {
    let own = message.sender == model.me();
    let name = for_line(&model.name(message.sender));
    let clock = local(message.time_ms).map_or_else(|| "     ".to_owned(), |time| time.format("%H:%M").to_string());
    let members = model.conversations.get(&conversation).map_or(0, |found| found.members.len());
    // In a direct conversation the others' name says where it is.
    let place = if room && (own || members > 2) {
        format!(" to {}", for_line(&others(model, conversation, message.sender)))
    } else {
        String::new()
    };
    let head = format!("{clock} {:>5} {name}{place}: ", format!("#{}", message.number));
    let marks = if own { format!(" {}", marks(model.delivery(conversation, message.number))) } else { String::new() };
    wrap(&head, &format!("{}{marks}", for_terminal(&message.text)), width)
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

/// Text behind a head, its further lines below its first one, wrapped to `width` columns if there is a width.
///
/// What somebody may want to copy stays in one piece, however long it is: links, paths and everything else without spaces
/// in letters that need spaces; what stands between backquotes; and lines of code, which are indented or fenced.
pub(crate) fn wrap(head: &str, text: &str, width: Option<usize>) -> String {
    let head_width = display_width(head);
    // Beyond half the line the indent would leave no room.
    let indent = head_width.min(width.unwrap_or(WIDTH_DEFAULT) / 2);
    let (mut lines, mut is_fenced) = (Vec::new(), false);
    for line in text.split('\n') {
        let is_fence = line.trim_start().starts_with("```");
        let is_code = is_fenced || is_fence || line.starts_with("    ");
        is_fenced ^= is_fence;
        let beside = if lines.is_empty() { head_width } else { indent };
        match width {
            Some(width) if !is_code => lines.extend(broken(line, width.saturating_sub(beside), width - indent)),
            _ => lines.push(line.trim_end().to_owned()),
        }
    }
    let lines = lines.iter().enumerate().map(|(at, line)| match at {
        0 => format!("{head}{line}").trim_end().to_owned(),
        _ => format!("{}{line}", " ".repeat(indent)).trim_end().to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines of a paragraph, in columns that are as wide as that.
fn broken(paragraph: &str, first: usize, rest: usize) -> Vec<String> {
    let words: Vec<_> = pieces(paragraph).into_iter().map(Word::from).collect();
    let lines = wrap_first_fit(&words, &[first as f64, rest as f64]);
    let line = |words: &[Word<'_>]| words.iter().flat_map(|word| [word.word, word.whitespace]).collect::<String>();
    lines.into_iter().map(|words| line(words).trim_end().to_owned()).collect()
}

/// What a paragraph may be broken between: at spaces, and between letters of writings without them.
fn pieces(paragraph: &str) -> Vec<&str> {
    /// Letters before this one belong to writings with spaces.
    const WITHOUT_SPACES: char = '\u{e00}';
    let whole = kept_whole(paragraph);
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    for word in WordSeparator::UnicodeBreakProperties.find_words(paragraph) {
        let before = at + word.word.len();
        at = before + word.whitespace.len();
        let is_wide = |c: Option<char>| c.is_some_and(|c| c >= WITHOUT_SPACES);
        let may_break = !word.whitespace.is_empty()
            || is_wide(paragraph[..at].chars().next_back())
            || is_wide(paragraph[at..].chars().next());
        if may_break && !whole.iter().any(|range| range.start < at && at < range.end) {
            pieces.push(&paragraph[start..at]);
            start = at;
        }
    }
    if start < paragraph.len() || pieces.is_empty() {
        pieces.push(&paragraph[start..]);
    }
    pieces
}

/// Links, in whatever letters, and what stands between backquotes.
fn kept_whole(paragraph: &str) -> Vec<Range<usize>> {
    let mut whole = Vec::new();
    for (scheme, _) in paragraph.match_indices("://") {
        let start = paragraph[..scheme].rfind(char::is_whitespace).map_or(0, |space| space + 1);
        let end = paragraph[scheme..].find(char::is_whitespace).map_or(paragraph.len(), |space| scheme + space);
        whole.push(start..end);
    }
    let mut quotes = paragraph.match_indices('`').map(|(at, _)| at);
    while let (Some(start), Some(end)) = (quotes.next(), quotes.next()) {
        whole.push(start..end + 1);
    }
    whole
}

/// A moment in the local time zone; `None` beyond what calendars know.
pub(crate) fn local(time_ms: u64) -> Option<DateTime<Local>> {
    let time = DateTime::from_timestamp_millis(i64::try_from(time_ms).ok()?)?;
    Some(time.with_timezone(&Local))
}

/// An object to standard output, on one line.
pub(crate) fn print_json(value: &Value) -> Result<(), Stop> {
    print(&harmless::json(value))
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
        let wrap = |head, text, width| wrap(head, text, Some(width));
        assert_eq!(wrap("12:00 bo: ", "one two three four", 20), "12:00 bo: one two\n          three four");
        assert_eq!(wrap("12:00 bo: ", "one\ntwo", 40), "12:00 bo: one\n          two");
        assert_eq!(wrap("a: ", "漢字漢字漢字", 11), "a: 漢字漢字\n   漢字");
        assert_eq!(wrap("a: ", "", 20), "a:");
    }

    #[test]
    fn nothing_is_wrapped_without_a_terminal() {
        let text = "word ".repeat(100);
        assert_eq!(super::wrap("a: ", &text, None), format!("a: {}", text.trim_end()));
        assert_eq!(super::wrap("a: ", "one\ntwo", None), "a: one\n   two", "a further line is no other message");
    }

    #[test]
    fn what_may_be_copied_stays_in_one_piece() {
        let whole = [
            "https://example.org/a-long-path/with?a=query&and=more#fragment",
            "http://例え.テスト/長い-道/もっと長い",
            "samira://192.168.178.20:5555#5oq2n4p5zsi7pjw6lttzy5ecna",
            "5oq2n4p5zsi7pjw6lttzy5ecna-pb4u3e4hate63ocy-and+some/base64==",
            "/var/lib/samira/some-directory/state.db",
            "`node --peers 10.0.0.1:5555 --join-code abc-def`",
            "\u{ab}`漢字漢字 漢字漢字漢字`\u{bb}",
        ];
        for text in whole {
            let wrapped = super::wrap("12:00 bo: ", &format!("look at {text} please"), Some(30));
            assert!(wrapped.lines().any(|line| line.contains(text)), "{wrapped}");
            assert!(wrapped.lines().count() > 1, "{wrapped}");
        }
        let code = "```\nlet it = stay(in, one, piece, however, long);\n```\n    indented = code, that, is, as, long, as, this\nplain text that is wrapped here";
        let wrapped = super::wrap("bo: ", code, Some(30));
        assert_eq!(
            wrapped,
            "bo: ```\n    let it = stay(in, one, piece, however, long);\n    ```\n        indented = code, that, is, as, long, as, this\n    plain text that is wrapped\n    here"
        );
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
            message_text(&model, 7, &message, room, Some(80)).split_once(' ').unwrap().1.trim_start().to_owned()
        };
        assert_eq!(shown(1, 1, false), "#1 al: x ✓✓ read");
        assert_eq!(shown(1, 2, true), "#2 al to bo: x ✓✓");
        assert_eq!(shown(1, 3, false), "#3 al: x ✓");
        assert_eq!(shown(2, 3, true), "#3 bo: x");
    }
}
