//! What may be a name, and which names are the same: one rule for every node and every client.
//!
//! *Judging* ([`check`]) is for new names alone. Names that exist keep what they have: nothing is judged twice, because the
//! tables of a later Unicode version may say otherwise.
//!
//! *Folding* gives a name three keys, see [`Keys`]: what it is found by, what it looks like, and what a search compares.
//! A key depends on the Unicode tables of a build. Therefore the node that proposes a name makes them, the log carries them,
//! and the state compares what was stored (`docs/adr/0023-a-name-carries-its-keys-through-the-log.md`).
//!
//! The bounds and the sources: Unicode Standard Annex #15 (normal forms), chapter 3.13 (case folding), Unicode Technical
//! Standard #39 (scripts, what looks alike), Annex #31 section 2.3 (where joiners are needed). `docs/client.md` has a table of
//! names that are taken and refused, which a test runs.

mod chars;
mod fold;
mod pattern;
#[cfg(test)]
mod tests;

use alloc::string::String;

use unicode_normalization::UnicodeNormalization;
use unicode_script::Script;
use unicode_security::mixed_script::AugmentedScriptSet;

use crate::limits::{NAME_CHARS_MAX, NAME_MARKS_IN_A_ROW_MAX};
pub use fold::{Keys, found_by, looks_like, search_key};
pub use pattern::Pattern;

/// What is wrong with a name, as the end of a sentence that begins with "This user name".
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
    /// A control character, or one that is invisible or changes the direction of text, where nothing needs it.
    #[error("contains a control or invisible character")]
    Control,
    /// A character of a private area, or one that Unicode has not defined: everybody sees something else.
    #[error("contains a character that has no meaning in Unicode")]
    Meaningless,
    /// Written in another form than NFC, so that two names could look alike.
    #[error("is not in Unicode normal form C")]
    NotNormal,
    /// A sign that stands in front of a conversation's number, or of a name, where people write whom they mean.
    #[error("begins with # or @, which have a meaning of their own in front of a name")]
    Sign,
    /// Its first character is a mark, which would sit on whatever stands in front of the name.
    #[error("begins with a combining mark")]
    Mark,
    /// So many marks on one letter that they cover the lines around it.
    #[error("has more than {NAME_MARKS_IN_A_ROW_MAX} combining marks in a row")]
    ManyMarks,
    /// Letters of several scripts, which is how one letter passes for another.
    #[error("mixes letters of several scripts")]
    MixedScripts,
}

/// Judges a new user name or nickname.
///
/// # Errors
/// What is wrong with it first.
pub fn check(name: &str) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else { return Err(NameError::Empty) };
    // Bytes first: no need to count through a name of half a megabyte.
    if name.len() > NAME_CHARS_MAX * 4 || name.chars().count() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        return Err(NameError::EdgeSpace);
    }
    chars::check_each(name)?;
    if !is_nfc(name) {
        return Err(NameError::NotNormal);
    }
    // Also in full width, which reads the same.
    if core::iter::once(first).nfkc().next().is_some_and(|first| matches!(first, '#' | '@')) {
        return Err(NameError::Sign);
    }
    if is_one_script(name) { Ok(()) } else { Err(NameError::MixedScripts) }
}

/// Normal form C: what equal-looking input of different keyboards has in common. Names are in it, and so is a password before
/// it is hashed.
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

fn is_nfc(text: &str) -> bool {
    unicode_normalization::is_nfc(text) || text.nfc().eq(text.chars())
}

/// Whether all letters are of one script. Japanese, Chinese and Korean are written in several, and with Latin among them: the
/// level "highly restrictive" of Technical Standard #39. Digits, signs and emoji are of every script.
fn is_one_script(name: &str) -> bool {
    let (mut all, mut but_latin) = (AugmentedScriptSet::default(), AugmentedScriptSet::default());
    for c in name.chars() {
        let scripts = AugmentedScriptSet::for_char(c);
        all.intersect_with(scripts);
        if !scripts.base.contains_script(Script::Latin) {
            but_latin.intersect_with(scripts);
        }
    }
    !all.is_empty() || but_latin.hanb || but_latin.jpan || but_latin.kore
}
