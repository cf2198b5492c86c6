//! Which user names and nicknames may be taken.
//!
//! Checked once, before a signup is proposed, and never at apply: what normalises to what depends on the Unicode tables
//! a build carries, and replicas may run different builds for a while.

use unicode_normalization::UnicodeNormalization;
use wire::limits::NAME_CHARS_MAX;

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than [`NAME_CHARS_MAX`] characters.
    #[error("is longer than {NAME_CHARS_MAX} characters")]
    TooLong,
    /// White space at one of its ends.
    #[error("begins or ends with white space")]
    EdgeSpace,
    /// A line break, a control character, or one that is invisible or changes the direction of text.
    #[error("contains a control or invisible character")]
    Control,
    /// Written in another form than NFC, so that two names could look alike.
    #[error("is not in Unicode normal form C")]
    NotNormal,
}

/// Checks a name.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    // Bytes first: no need to count through a name of half a megabyte.
    if name.len() > NAME_CHARS_MAX * 4 || name.chars().count() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        return Err(NameError::EdgeSpace);
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(NameError::Control);
    }
    if !unicode_normalization::is_nfc(name) && !name.nfc().eq(name.chars()) {
        return Err(NameError::NotNormal);
    }
    Ok(())
}

/// Characters that show nothing, or that turn the direction of what follows: a name with one could pass for another.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        // Zero-width space, direction marks. The zero-width joiners stay legal: some scripts need them.
        | '\u{200b}' | '\u{200e}' | '\u{200f}'
        // Line and paragraph separators, embeddings and overrides.
        | '\u{2028}'..='\u{202e}'
        // Word joiner, invisible operators, isolates, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        // Tags.
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged() {
        let long = "x".repeat(64);
        let too_long = "x".repeat(65);
        let many_bytes = "\u{1f600}".repeat(64);
        let table: &[(&str, Result<(), NameError>)] = &[
            ("alice", Ok(())),
            ("a_b", Ok(())),
            ("Zoë Müller", Ok(())),
            ("日本", Ok(())),
            (&long, Ok(())),
            (&many_bytes, Ok(())),
            (&too_long, Err(NameError::TooLong)),
            ("", Err(NameError::Empty)),
            (" a", Err(NameError::EdgeSpace)),
            ("a\u{a0}", Err(NameError::EdgeSpace)),
            ("a\nb", Err(NameError::Control)),
            ("a\0b", Err(NameError::Control)),
            ("a\u{202e}b", Err(NameError::Control)),
            ("a\u{2066}b", Err(NameError::Control)),
            ("\u{200f}a", Err(NameError::Control)),
            ("\u{feff}a", Err(NameError::Control)),
            ("e\u{301}", Err(NameError::NotNormal)),
            ("\u{e9}", Ok(())),
        ];
        for (name, expected) in table {
            assert_eq!(check(name), *expected, "{name:?}");
        }
    }
}
