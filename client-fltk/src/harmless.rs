//! Text of others, before it reaches a terminal, a screen or a clipboard.
//!
//! Servers refuse controls in new messages, but old ones may hold them, and a program that shows text does not ask who has
//! written it. A letter that is not shown is replaced by U+FFFD and not left out, so that nobody reads two words as one.

use std::borrow::Cow;

use wire::text::is_control;

/// Stands for what is not shown.
pub const REPLACEMENT: char = '\u{fffd}';

/// Characters without a shape that turn the order in which their neighbours are shown.
#[must_use]
pub fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Unicode's own ends of a line and of a paragraph, which few programs treat as such.
#[must_use]
pub fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Text for programs that understand text and nothing else, such as a clipboard or a toolkit: without controls, and with
/// line feeds alone as ends of lines. It holds no NUL, so that its length is the same for everybody.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    Cow::Owned(text.chars().map(|c| if is_control(c) { REPLACEMENT } else { c }).collect())
}

/// Text for a terminal: [`plain`], and nothing in it moves its neighbours.
#[must_use]
pub fn for_terminal(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if is_direction(c) || is_separator(c) => REPLACEMENT,
        c => c,
    };
    plain(text).chars().map(shown).collect()
}

/// The same for what is a part of a line: names, titles.
#[must_use]
pub fn for_line(text: &str) -> String {
    for_terminal(text).replace('\n', "\u{fffd}")
}

/// JSON on one line, with everything escaped that would do something to a terminal.
#[must_use]
pub fn json(value: &serde_json::Value) -> String {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside of strings JSON has none of these; all of them have four digits.
        if c.is_control() || is_direction(c) || is_separator(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clipboard_is_given_has_no_controls() {
        let cases = [
            ("a\0b", "a\u{fffd}b"),
            ("\u{1b}[31mred\u{7f}\u{9b}", "\u{fffd}[31mred\u{fffd}\u{fffd}"),
            ("one\r\ntwo\n\tthree\r", "one\ntwo\n\tthree\u{fffd}"),
            ("שלום \u{200f}\u{202e}x", "שלום \u{200f}\u{202e}x"),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_terminal_is_not_steered_and_lines_are_not_turned() {
        let turned = "a\u{61c}b\u{200e}c\u{2028}d\u{2029}e\u{202e}f\u{2066}g\u{85}h\u{9b}i\u{0}";
        assert_eq!(
            for_terminal(turned),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h\u{fffd}i\u{fffd}"
        );
        assert_eq!(for_terminal("a\tb\r\nc"), "a b\nc");
        assert_eq!(for_line("a\nb"), "a\u{fffd}b");
    }

    #[test]
    fn json_says_the_same_with_escapes() {
        let text = "a\u{61c}\u{2028}\u{2029}\u{85}\u{9b}\u{7f}\u{202e}\0\né\u{1f600}";
        let line = json(&serde_json::json!({ "text": text }));
        assert!(!line.contains(|c: char| c.is_control() || is_direction(c) || is_separator(c)), "{line}");
        assert!(line.contains("é\u{1f600}"), "what is text stays: {line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["text"], text);
    }
}
