//! The administration socket of a node: one JSON object per line, there and back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the table shows of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Status {
    pub(super) role: String,
    pub(super) term: u64,
    pub(super) leader: Option<String>,
    pub(super) last_log: Option<u64>,
    pub(super) committed: Option<u64>,
    pub(super) applied: Option<u64>,
    pub(super) clients: u64,
    pub(super) client_link: String,
    pub(super) members: Vec<Member>,
}

/// One node, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Member {
    pub(super) voter: bool,
}

/// What another machine needs to join.
#[derive(Debug, Deserialize)]
pub(super) struct JoinCode {
    pub(super) code: String,
}

/// Asks the node in `data_dir` for its status.
///
/// # Errors
/// When nobody answers within `timeout`.
pub(super) fn status(data_dir: &Path, timeout: Duration) -> Result<Status> {
    ask(data_dir, "status", timeout)
}

/// Asks the node in `data_dir` for a fresh join code.
///
/// # Errors
/// When nobody answers within `timeout`, or the cluster cannot commit one now.
pub(super) fn join_code(data_dir: &Path, timeout: Duration) -> Result<JoinCode> {
    ask(data_dir, "join-code", timeout)
}

fn ask<T: DeserializeOwned>(data_dir: &Path, command: &str, timeout: Duration) -> Result<T> {
    let mut socket = UnixStream::connect(data_dir.join("admin.sock")).context("no administration socket")?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?;
    writeln!(socket, "{}", serde_json::json!({ "command": command }))?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).context("no answer")?;
    let answer: serde_json::Value = serde_json::from_str(&line).context("the answer is no JSON")?;
    if let Some(error) = answer["error"].as_str() {
        bail!("{error}");
    }
    serde_json::from_value(answer).context("unexpected answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_more_keys_is_read() {
        let line = r#"{"name":"node1","role":"leader","term":3,"leader":"node1","last_log":7,"committed":7,"applied":null,
            "state_hash":"00","members":[],"clients":2,"client_link":"samira://a:1#p","later":"more"}"#;
        let status: Status = serde_json::from_str(line).unwrap();
        assert_eq!((status.term, status.last_log, status.applied, status.clients), (3, Some(7), None, 2));
    }
}
