//! `cargo xtask tidy`: the habits no compiler checks.
//!
//! Above all the directions of dependencies: one folder owns each heavy crate, and layers do not look upwards. A new
//! arrow is a decision of its own (docs/adr/), made here and there together.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::root;

/// A name that only some places may use.
struct Owned {
    name: &'static str,
    /// Path prefixes from the root.
    owners: &'static [&'static str],
}

const OWNED: &[Owned] = &[
    Owned { name: "mio", owners: &["node/src/transport", "node/src/bridge.rs", "client-fltk/src/net"] },
    Owned {
        name: "tonic",
        owners: &[
            "node/src/grpc",
            "proto/src",
            "tests/src/bench/grpc_loop.rs",
            "tests/tests/desktop.rs",
            "tests/tests/grpc.rs",
            "tests/tests/grpc_writes.rs",
            "tests/tests/texts.rs",
            "tests/tests/tls.rs",
            "tests/tests/who_leads.rs",
        ],
    },
    Owned { name: "quinn", owners: &["node/src/quic", "tests/tests/join_codes.rs"] },
    Owned {
        name: "rustls",
        owners: &[
            "node/src/transport",
            "node/src/quic",
            // Types of certificates and keys only.
            "node/src/cluster",
            "node/src/grpc",
            "client-fltk/src/net",
            "tests/tests/join_codes.rs",
            "tests/tests/tls.rs",
        ],
    },
    Owned { name: "openraft", owners: &["node/src/raft"] },
    Owned {
        name: "fltk",
        owners: &[
            "client-fltk/src/bin/client-fltk/view",
            "client-fltk/src/bin/client-fltk/look",
            "client-fltk/src/bin/client-fltk/main.rs",
        ],
    },
    Owned { name: "accesskit", owners: &["client-fltk/src/bin/client-fltk/view"] },
    Owned { name: "accesskit_unix", owners: &["client-fltk/src/bin/client-fltk/view/spoken.rs"] },
    Owned { name: "zbus", owners: &["tests/src/speech.rs"] },
    Owned {
        name: "rusqlite",
        owners: &[
            "node/src/storage",
            "client-fltk/src/store",
            "tests/src/oracle.rs",
            "tests/tests/bad_start.rs",
            "tests/tests/legacy_long_use.rs",
            "tests/tests/names.rs",
            "tests/tests/restored_copies.rs",
        ],
    },
];

/// A folder and names it must not use.
struct Forbidden {
    under: &'static str,
    names: &'static [&'static str],
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden { under: "wire/src", names: &["std", "tracing"] },
    Forbidden {
        under: "node/src/chat",
        names: &["tokio", "crate::raft", "crate::storage", "crate::transport", "crate::quic", "crate::service"],
    },
    Forbidden {
        under: "node/src/chat",
        names: &["std::fs", "std::net", "std::thread", "Instant", "SystemTime", "HashMap", "HashSet"],
    },
    Forbidden { under: "node/src/transport", names: &["crate::raft", "crate::chat", "crate::storage", "crate::quic"] },
    Forbidden { under: "node/src/storage", names: &["crate::raft", "crate::transport", "crate::quic"] },
    Forbidden { under: "node/src/raft", names: &["crate::transport", "crate::service"] },
    Forbidden { under: "client-fltk", names: &["node"] },
    Forbidden {
        under: "client-fltk/src/model",
        names: &[
            "crate::engine",
            "crate::net",
            "crate::store",
            "std::fs",
            "std::net",
            "std::thread",
            "HashMap",
            "HashSet",
        ],
    },
    // What the desktop client knows and does is tested without a display.
    Forbidden { under: "client-fltk/src/bin/client-fltk/app", names: &["fltk", "crate::view", "crate::look"] },
    Forbidden { under: "client-fltk/src/engine", names: &["crate::net", "std::net", "std::thread", "rustls"] },
];

/// Lines in one source file before it has to be split.
const FILE_LINES_MAX: usize = 800;

/// One thing found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub(crate) fn run() -> Result<()> {
    let mut files = Vec::new();
    for member in ["wire", "proto", "node", "client-fltk", "xtask", "tests"] {
        rust_files(&root().join(member), &mut files)?;
    }
    // This file is made of the names it looks for.
    files.retain(|file| !file.ends_with("xtask/src/tidy.rs"));
    files.sort();
    let mut findings = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(root()).expect("found under the root").to_string_lossy().replace('\\', "/");
        check(&path, &text, &mut findings);
    }
    reasons(&mut findings)?;
    if findings.is_empty() {
        println!("   {} files are tidy", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("tidy found {} things", findings.len());
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let mut report = |line, what: String| findings.push(Finding { path: path.into(), line, what });
    let mut in_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
    for (line, code) in (1..).zip(text.lines()) {
        // By convention the tests are the last thing in a file.
        in_tests |= code.starts_with("mod tests {");
        let code = code.split("//").next().unwrap_or_default();
        for Owned { name, owners } in OWNED {
            if uses_crate(code, name) && !owners.iter().any(|owner| path.starts_with(owner)) {
                report(line, format!("{name} belongs to {}", owners.join(", ")));
            }
        }
        for Forbidden { under, names } in FORBIDDEN {
            for name in names.iter().filter(|name| path.starts_with(under) && !in_tests && mentions(code, name)) {
                report(line, format!("{under} must not use {name}"));
            }
        }
        let ignored = ["#[", "ignore"].concat();
        if code.trim_start().starts_with(&ignored) {
            report(line, "an ignored test tests nothing; assert today's behaviour with a note".into());
        }
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        report(
            FILE_LINES_MAX,
            format!("{lines} lines; more than {FILE_LINES_MAX} have more than one reason to change"),
        );
    }
}

/// Whether code uses a crate of this name: a path into it, or an import of it.
fn uses_crate(code: &str, name: &str) -> bool {
    occurrences(code, name).any(|(before, after)| {
        let import = before.trim_end().ends_with("use") && after.starts_with([';', ' ', ':']);
        !before.ends_with("::") && (after.starts_with("::") || import)
    })
}

/// Whether code names this path, type or crate.
fn mentions(code: &str, name: &str) -> bool {
    if name.starts_with(char::is_lowercase) && !name.contains("::") {
        return uses_crate(code, name);
    }
    occurrences(code, name).next().is_some()
}

/// What stands before and behind each occurrence of `name` as a whole word.
fn occurrences<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .map(|(at, found)| (&code[..at], &code[at + found.len()..]))
        .filter(move |(before, after)| !before.ends_with(in_word) && !after.starts_with(in_word))
}

/// Each dependency of the workspace has its reason in docs/dependencies.md.
fn reasons(findings: &mut Vec<Finding>) -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let reasons =
        fs::read_to_string(root().join("docs/dependencies.md")).context("cannot read docs/dependencies.md")?;
    let mut inside = false;
    for (line, text) in (1..).zip(manifest.lines()) {
        if text.starts_with('[') {
            inside = text == "[workspace.dependencies]";
        } else if inside
            && let Some((name, value)) = text.split_once(" = ")
            && !value.contains("path = ")
            && !reasons.contains(&format!("`{name}`"))
        {
            let what = format!("{name} has no line in docs/dependencies.md");
            findings.push(Finding { path: "Cargo.toml".into(), line, what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(path, text, &mut findings);
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_heavy_crate_stays_in_its_folder() {
        let outside = ["use mio::net::TcpStream;", "use mio;", "let poll = mio::Poll::new();", "pub use mio as m;"];
        for code in outside {
            assert_eq!(found("node/src/service/x.rs", code).len(), 1, "{code}");
            assert!(found("node/src/transport/x.rs", code).is_empty(), "{code}");
        }
        for code in ["// mio::Poll", "let mio = 1;", "my_mio::x()", "crate::mio::x()"] {
            assert!(found("node/src/service/x.rs", code).is_empty(), "{code}");
        }
    }

    #[test]
    fn layers_do_not_look_upwards() {
        let check = |path, code, expected| assert_eq!(found(path, code).len(), expected, "{path}: {code}");
        check("node/src/transport/x.rs", "use crate::raft::propose::Proposer;", 1);
        check("node/src/chat/apply.rs", "let now = Instant::now();", 1);
        check("node/src/chat/apply.rs", "use std::collections::BTreeMap;", 0);
        check("wire/src/x.rs", "use std::vec::Vec;", 1);
        check("wire/src/x.rs", "use core::str;", 0);
        check("wire/src/x.rs", "extern crate std;", 0);
        check("wire/src/x.rs", "#[cfg(test)]\nmod tests {\n use std::vec::Vec;", 0);
        check("wire/tests/x.rs", "use std::vec::Vec;", 0);
        check("client-fltk/src/bin/client-fltk/app/x.rs", "use crate::look::sizes;", 1);
        // Its owner is another folder, and here it is forbidden besides.
        check("client-fltk/src/bin/client-fltk/app/x.rs", "use fltk::app;", 2);
        check("client-fltk/src/bin/client-fltk/view/x.rs", "use fltk::app;", 0);
    }

    #[test]
    fn a_test_is_not_switched_off() {
        assert_eq!(found("tests/tests/x.rs", &["    #[", "ignore = \"slow\"]"].concat()).len(), 1);
    }

    #[test]
    fn a_file_has_a_size() {
        assert!(found("node/src/x.rs", &"\n".repeat(FILE_LINES_MAX)).is_empty());
        assert_eq!(found("node/src/x.rs", &"\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }
}
