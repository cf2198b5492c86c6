//! The keys of a name.

use alloc::string::String;

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::chars::{VIRAMA, is_ignorable};

/// What the state keeps of a user name beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// See [`found_by`].
    pub fold: String,
    /// See [`looks_like`].
    pub skeleton: String,
    /// See [`search_key`].
    pub search: String,
}

impl Keys {
    /// Those of a name, by the tables of this build.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Keys { fold: found_by(name), skeleton: looks_like(name), search: search_key(name) }
    }
}

/// What a name is found by: names that people type alike have the same. Compatibility forms (full width, ligatures), case,
/// invisible characters and the number of spaces make no difference; accents and similar letters of other scripts do.
#[must_use]
pub fn found_by(name: &str) -> String {
    let folded = name.chars().filter(|&c| !is_ignorable(c)).nfd().default_case_fold().nfkd().default_case_fold().nfkc();
    spaced_once(&folded.collect::<String>())
}

/// What a name looks like: names that cannot be told apart by eye have the same. It is the skeleton of Technical Standard #39
/// with its case folded afterwards, because a capital `I` looks like a small `l`, which a folded one does not.
#[must_use]
pub fn looks_like(name: &str) -> String {
    let skeleton = unicode_security::skeleton(name).default_case_fold().nfkc();
    // A dot above a letter that has one is not seen.
    spaced_once(&skeleton.collect::<String>())
        .replace("i\u{307}", "i")
        .replace("l\u{307}", "l")
        .replace("j\u{307}", "j")
}

/// What a search compares: as [`found_by`], without accents, and strokes through letters are accents too.
#[must_use]
pub fn search_key(name: &str) -> String {
    spaced_once(&unaccented(name))
}

/// A piece of a search key: its spaces may go on in the next piece.
pub(super) fn unaccented(text: &str) -> String {
    let folded = text.chars().filter(|&c| !is_ignorable(c)).nfd().default_case_fold().nfkd().default_case_fold().nfkd();
    // Vowel signs have class 0 and stay: without them a word is another.
    let bare = folded.filter(|&c| matches!(canonical_combining_class(c), 0 | VIRAMA));
    let mut key = String::with_capacity(text.len());
    bare.nfc().for_each(|c| match stroked(c) {
        Some(letters) => key.push_str(letters),
        None => key.push(c),
    });
    key
}

/// Latin letters that no normal form takes apart, and what people without such a key type.
fn stroked(c: char) -> Option<&'static str> {
    Some(match c {
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ŧ' => "t",
        'ı' => "i",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        _ => return None,
    })
}

/// Without white space at the ends, and with one space for each run of it.
fn spaced_once(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced
}
