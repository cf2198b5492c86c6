//! Search patterns for user names.
//!
//! `*` stands for any text, `?` for one character; a pattern with one of them describes the whole name. Without them it
//! is a piece of the name. Everything else, `%` and `_` included, means itself. ASCII letters match in either case.

/// A search pattern, ready to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// This character, in either ASCII case.
    Char(char),
    /// Any one character.
    One,
    /// Any text, also none.
    Any,
}

impl Pattern {
    /// Reads a pattern. Every text is one; its length is bounded by the caller.
    pub fn parse(text: &str) -> Pattern {
        let whole_name = text.contains(['*', '?']);
        let edge = (!whole_name).then_some(Part::Any);
        let inner = text.chars().map(|c| match c {
            '*' => Part::Any,
            '?' => Part::One,
            other => Part::Char(other.to_ascii_lowercase()),
        });
        Pattern { parts: edge.into_iter().chain(inner).chain(edge).collect() }
    }

    /// Whether `name` fits. Takes at most pattern times name steps: on a mismatch only the last `*` is widened, which is
    /// enough because an earlier one has already taken the shortest text that works.
    pub fn matches(&self, name: &str) -> bool {
        let mut at = 0;
        let mut rest = name.chars();
        let mut widen: Option<(usize, std::str::Chars<'_>)> = None;
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
                (Some(Part::Char(wanted)), Some(c)) => *wanted == c.to_ascii_lowercase(),
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
            ("É", "é", false),
            ("é", "café", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Pattern::parse(pattern).matches(name), expected, "{pattern:?} on {name:?}");
        }
    }
}
