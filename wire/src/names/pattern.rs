//! Search patterns for names.
//!
//! `*` stands for any text, `?` for one character; a pattern with one of them describes the whole name. Without them it
//! is a piece of the name. Everything else, `%` and `_` included, means itself. Case, accents and compatibility forms make no
//! difference, in any script: what is compared is [`search_key`].

use alloc::vec::Vec;
use core::str::Chars;

use super::fold::unaccented;
use super::search_key;

/// A search pattern, ready to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// This character of a key.
    Char(char),
    /// Any one character.
    One,
    /// Any text, also none.
    Any,
}

impl Pattern {
    /// Reads a pattern. Every text is one; its length is bounded by the caller.
    #[must_use]
    pub fn parse(text: &str) -> Pattern {
        let is_wild = |c: char| matches!(c, '*' | '?');
        if !text.contains(is_wild) {
            let key = search_key(text);
            let piece = key.chars().map(Part::Char);
            let parts = core::iter::once(Part::Any).chain(piece).chain([Part::Any]).collect();
            return Pattern { parts };
        }
        let mut parts = Vec::new();
        // A wildcard is one as it is typed: a folded sign that looks like one is not.
        for piece in text.split_inclusive(is_wild) {
            let literal = piece.trim_end_matches(is_wild);
            for c in unaccented(literal).chars() {
                // Keys have one space for each run of them.
                if c != ' ' || parts.last() != Some(&Part::Char(' ')) {
                    parts.push(Part::Char(c));
                }
            }
            parts.extend(piece[literal.len()..].chars().map(|c| if c == '*' { Part::Any } else { Part::One }));
        }
        Pattern { parts }
    }

    /// Whether `name` fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.matches_key(&search_key(name))
    }

    /// Whether the name of this [`search_key`] fits. Takes at most pattern times key steps: on a mismatch only the last `*` is
    /// widened, which is enough because an earlier one has already taken the shortest text that works.
    #[must_use]
    pub fn matches_key(&self, key: &str) -> bool {
        let mut at = 0;
        let mut rest = key.chars();
        let mut widen: Option<(usize, Chars<'_>)> = None;
        loop {
            if self.parts.get(at) == Some(&Part::Any) {
                at += 1;
                widen = Some((at, rest.clone()));
                continue;
            }
            let before = rest.clone();
            let fits = match (self.parts.get(at), rest.next()) {
                (None, None) => return true,
                (Some(Part::One), Some(_)) => true,
                (Some(Part::Char(wanted)), Some(c)) => *wanted == c,
                _ => false,
            };
            if fits {
                at += 1;
                continue;
            }
            // A name that has ended cannot be helped by letting a `*` take more of it.
            if before.as_str().is_empty() {
                return false;
            }
            match &mut widen {
                None => return false,
                Some((after, from)) => {
                    from.next();
                    at = *after;
                    rest = from.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        let table = [
            ("", "alice", true),
            ("", "", true),
            ("lic", "alice", true),
            ("LIC", "alice", true),
            ("lic", "ALICE", true),
            ("lik", "alice", false),
            ("alice", "alice", true),
            ("alicee", "alice", false),
            ("*", "", true),
            ("*", "alice", true),
            ("a*", "alice", true),
            ("a*", "balice", false),
            ("*e", "alice", true),
            ("*e", "alicex", false),
            ("a*e", "alice", true),
            ("a*c*e", "alice", true),
            ("a*x*e", "alice", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("?lice", "alice", true),
            ("?", "ab", false),
            ("??", "ab", true),
            ("?", "é", true),
            ("?", "", false),
            ("*?", "", false),
            ("**?", "x", true),
            ("_", "alice", false),
            ("_", "a_b", true),
            ("%", "alice", false),
            ("%", "100%", true),
            ("É", "é", true),
            ("é", "café", true),
            ("cafe", "Café", true),
            ("CAFÉ", "cafe", true),
            ("straSSe", "Straße", true),
            ("lukasz", "Łukasz", true),
            ("Ł*", "lukasz", true),
            ("soren", "Søren", true),
            ("σ", "ΟΔΥΣΣΕΥΣ", true),
            ("οδυσσεύς", "ΟΔΥΣΣΕΥΣ", true),
            ("ДМИТРИЙ", "дмитрии", true),
            ("がく", "かく", true),
            ("한", "한국", true),
            ("하", "한국", false),
            ("किसान", "कसान", false),
            ("ｂｏｂ", "Bob", true),
            ("a b", "A   B", true),
            (" ann ", "Ann", true),
            ("？", "what?", true),
            ("？", "what", false),
            ("é?", "Éa", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Pattern::parse(pattern).matches(name), expected, "{pattern:?} on {name:?}");
        }
    }
}
