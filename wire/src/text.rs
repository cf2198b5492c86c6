//! The text of a message: one rule for every dialect, and for clients before they send.
//!
//! A text holds no control characters but line feed and tab. CR LF is a line end as LF is, and is stored as LF; a CR that no
//! LF follows is a control character like any other. White space alone is no message.

#[cfg(feature = "alloc")]
use alloc::borrow::Cow;
#[cfg(feature = "alloc")]
use alloc::string::String;

use crate::limits::MESSAGE_TEXT_BYTES_MAX;

/// The fault in a text, as a sentence for whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No character of it is visible.
    #[error("a message needs more than white space")]
    Blank,
    /// More than [`MESSAGE_TEXT_BYTES_MAX`].
    #[error("a message has at most {MESSAGE_TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// A character of Unicode's category Cc (C0, delete, C1) that is neither line feed nor tab.
    #[error("a message has no control characters but line feed and tab")]
    Control,
}

/// Whether a character is a control: C0, delete and C1, of which only the line feed and the tab are text.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// Checks a text whose line ends are LF, see [`with_line_feeds`].
///
/// # Errors
/// The first fault, in the order length, control characters, white space.
pub fn check(text: &str) -> Result<(), TextError> {
    if text.len() > MESSAGE_TEXT_BYTES_MAX {
        Err(TextError::TooLong)
    } else if text.contains(is_control) {
        Err(TextError::Control)
    } else if text.chars().all(char::is_whitespace) {
        Err(TextError::Blank)
    } else {
        Ok(())
    }
}

/// The text with LF for every CR LF. A client that does this before it sends finds its text stored as it was sent.
#[cfg(feature = "alloc")]
#[must_use]
pub fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

/// The text as it is stored: `text` itself, or in `spare` where line ends had to be changed.
///
/// # Errors
/// See [`check`].
#[cfg(feature = "alloc")]
pub fn accept<'t>(text: &'t str, spare: &'t mut String) -> Result<&'t str, TextError> {
    let text = match with_line_feeds(text) {
        Cow::Borrowed(text) => text,
        Cow::Owned(changed) => {
            *spare = changed;
            spare
        }
    };
    check(text).map(|()| text)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged() {
        let full = "x".repeat(MESSAGE_TEXT_BYTES_MAX);
        let too_long = "x".repeat(MESSAGE_TEXT_BYTES_MAX + 1);
        let table: &[(&str, Result<&str, TextError>)] = &[
            ("hello", Ok("hello")),
            ("a\n\tb\n", Ok("a\n\tb\n")),
            ("a\r\nb\r\n", Ok("a\nb\n")),
            ("\u{200f}שלום \u{2028}", Ok("\u{200f}שלום \u{2028}")),
            (&full, Ok(&full)),
            (&too_long, Err(TextError::TooLong)),
            ("", Err(TextError::Blank)),
            (" \t\n\u{a0}\u{2003}\u{3000}", Err(TextError::Blank)),
            ("\r\n\r\n", Err(TextError::Blank)),
            ("a\0b", Err(TextError::Control)),
            ("a\x1b[31m", Err(TextError::Control)),
            ("a\x7f", Err(TextError::Control)),
            ("a\u{85}b", Err(TextError::Control)),
            ("a\u{9b}31m", Err(TextError::Control)),
            ("a\rb", Err(TextError::Control)),
            ("a\r\r\nb", Err(TextError::Control)),
            ("a\n\r", Err(TextError::Control)),
        ];
        for (text, expected) in table {
            assert_eq!(accept(text, &mut String::new()), *expected, "{text:?}");
        }
    }

    #[test]
    fn every_control_but_two_is_refused() {
        for c in (0..=0xff).filter_map(char::from_u32) {
            let text = std::format!("a{c}b");
            let refused = matches!(u32::from(c), 0..=8 | 11..=31 | 127..=159);
            assert_eq!(check(&text) == Err(TextError::Control), refused, "{text:?}");
        }
    }
}
