//! What goes wrong, and when.
//!
//! One rule per line: `FILE OPERATION WHEN ACTION`.
//!
//! * `FILE`: a name in the watched directory, or `*` for all.
//! * `OPERATION`: `write` (growing and shrinking too), `grow` (only writes that make the file longer), `flush`, `read`.
//! * `WHEN`: `3` for the third one since the rules were last changed, `3+` for that and all later ones.
//! * `ACTION`: `eio`, `enospc`: the call fails and does nothing. `kill-before`, `kill-after`: the process dies.
//!   `cut-before`, `cut-after`: the power fails, everything unflushed is lost; with `:SEED` behind it some of it, chosen by
//!   that number. `tear`: half of the write is done, then the process dies.
//!
//! A line that is none of these ends the process, so that no test passes because of a slip in its rules.

use std::ffi::c_int;

/// Which calls a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Flush,
    Read,
}

/// What happens instead of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It fails with this error number.
    Fail(c_int),
    KillBefore,
    KillAfter,
    /// The power fails before it; how to choose what survives, see [`crate::power`].
    CutBefore(u64),
    CutAfter(u64),
    Tear,
}

#[derive(Debug)]
struct Rule {
    line: String,
    /// `None` for all.
    file: Option<Vec<u8>>,
    operation: Operation,
    growing_only: bool,
    at: u64,
    and_later: bool,
    action: Action,
    seen: u64,
}

/// All rules of now.
#[derive(Debug)]
pub(crate) struct Rules {
    text: Vec<u8>,
    rules: Vec<Rule>,
}

impl Rules {
    pub(crate) const fn none() -> Self {
        Rules { text: Vec::new(), rules: Vec::new() }
    }

    /// Takes over the rules of `text`. The same text again changes nothing.
    pub(crate) fn read(&mut self, text: &[u8]) {
        if self.text == text {
            return;
        }
        self.text = text.to_vec();
        self.rules = String::from_utf8_lossy(text)
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| parse(line).unwrap_or_else(|| panic!("not a rule: {line}")))
            .collect();
    }

    /// Whether writes have to be remembered, because the power may fail later. A test that wants that has such a rule from
    /// the start.
    pub(crate) fn power_may_fail(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.action, Action::CutBefore(_) | Action::CutAfter(_)))
    }

    /// Counts a call, and says what is to happen to it.
    pub(crate) fn strike(&mut self, file: &[u8], operation: Operation, grows: bool) -> Option<(String, Action)> {
        let mut struck = None;
        for rule in &mut self.rules {
            let meant = rule.operation == operation
                && (grows || !rule.growing_only)
                && rule.file.as_ref().is_none_or(|name| name == file);
            if !meant {
                continue;
            }
            rule.seen += 1;
            if rule.seen == rule.at || (rule.and_later && rule.seen > rule.at) {
                struck = struck
                    .or_else(|| Some((format!("{} at {}", rule.line, String::from_utf8_lossy(file)), rule.action)));
            }
        }
        struck
    }
}

fn parse(line: &str) -> Option<Rule> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[file, operation, when, action] = words.as_slice() else { return None };
    let (operation, growing_only) = match operation {
        "write" => (Operation::Write, false),
        "grow" => (Operation::Write, true),
        "flush" => (Operation::Flush, false),
        "read" => (Operation::Read, false),
        _ => return None,
    };
    let (at, and_later) = match when.strip_suffix('+') {
        Some(at) => (at, true),
        None => (when, false),
    };
    let (action, seed) = match action.split_once(':') {
        Some((action, seed)) => (action, seed.parse().ok()?),
        None => (action, 0),
    };
    let action = match action {
        "eio" => Action::Fail(libc::EIO),
        "enospc" => Action::Fail(libc::ENOSPC),
        "kill-before" => Action::KillBefore,
        "kill-after" => Action::KillAfter,
        "cut-before" => Action::CutBefore(seed),
        "cut-after" => Action::CutAfter(seed),
        "tear" => Action::Tear,
        _ => return None,
    };
    let file = (file != "*").then(|| file.as_bytes().to_vec());
    Some(Rule { line: line.into(), file, operation, growing_only, at: at.parse().ok()?, and_later, action, seen: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_the_calls_they_are_about() {
        let mut rules = Rules::none();
        rules.read(b"log.db-wal flush 2 kill-before\n* grow 1+ enospc\n");
        let mut strike =
            |file: &str, operation, grows| rules.strike(file.as_bytes(), operation, grows).map(|(_, action)| action);
        assert_eq!(strike("log.db-wal", Operation::Flush, false), None);
        assert_eq!(strike("state.db", Operation::Flush, false), None);
        assert_eq!(strike("state.db", Operation::Write, false), None);
        assert_eq!(strike("log.db-wal", Operation::Flush, false), Some(Action::KillBefore));
        assert_eq!(strike("log.db-wal", Operation::Flush, false), None);
        assert_eq!(strike("state.db", Operation::Write, true), Some(Action::Fail(libc::ENOSPC)));
        assert_eq!(strike("state.db", Operation::Write, true), Some(Action::Fail(libc::ENOSPC)));
    }

    #[test]
    fn the_same_text_goes_on_counting_and_another_starts_over() {
        let mut rules = Rules::none();
        let mut strike = |text: &str| {
            rules.read(text.as_bytes());
            rules.strike(b"log.db", Operation::Read, false)
        };
        assert_eq!(strike("* read 2 eio"), None);
        assert_eq!(strike("* read 2 eio"), Some(("* read 2 eio at log.db".into(), Action::Fail(libc::EIO))));
        assert_eq!(strike("* read 2 cut-after:7"), None);
        assert_eq!(strike("* read 2 cut-after:7").map(|(_, action)| action), Some(Action::CutAfter(7)));
    }

    #[test]
    fn what_is_no_rule_is_not_taken_for_one() {
        for slip in
            ["", "log.db", "* flush 1", "* flush x eio", "* sync 1 eio", "* flush 1 explode", "* flush 1 eio now"]
        {
            assert!(parse(slip).is_none(), "{slip}");
        }
    }
}
