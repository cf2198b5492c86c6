//! Messages that other programs hand to the one that has the profile.
//!
//! A profile is for one process at a time, and `chat tail` or a window has it all day. A program that wants to send meanwhile
//! hands its message over a socket in the profile's directory, which only its owner may enter. The message goes into the
//! same outbox as everybody's; the other side is told when it is kept there, and what became of it.
//!
//! One line of JSON asks: `{"to": "bo"}` or `{"to": 7}`, and `"text"`. Lines of JSON answer: `{"kept": true}` once it is on
//! disk, then `{"stored": [conversation, number]}`, or one of the refusals of [`Refused`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use serde_json::{Value, json};

use crate::command::{Answer, Command, Failure, Ticket};
use crate::env::Clock;
use crate::limits::{HANDED_OVER_BYTES_MAX, HANDED_OVER_MAX};
use crate::model::Target;

/// The socket's name in the directory of the profile.
const SOCKET: &str = "handover";

/// Tickets from this one on are not the program's own.
const FOREIGN: u64 = 1 << 63;

/// How a message that was handed over has ended, or not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// It is in the outbox of the other program, which sends it.
    Kept,
    /// The cluster keeps it.
    Stored {
        /// Where.
        conversation: u64,
        /// Its number there.
        number: u64,
    },
}

/// Why a message was not handed over, or not sent.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody takes messages for this profile at the moment.
    #[error("the program that uses this profile takes no messages")]
    Nobody,
    /// The other program stands still. It takes nothing of who has left.
    #[error("the program that uses this profile does not answer (is it stopped?); the message was not taken")]
    Silent,
    /// The other program has ended before it said what became of it.
    #[error(
        "the program that uses this profile has ended meanwhile: if the message was kept, whatever runs next sends it; look before you send it again"
    )]
    Lost,
    /// The cluster or the other program says no; the text says why.
    #[error("{0}")]
    No(String),
    /// Nobody is logged in.
    #[error("{0}")]
    NotLoggedIn(String),
}

/// Hands a message to the program that has the profile in `directory`. Waits until the cluster keeps it, but not longer than
/// `timeout`; with `queue`, until the other program does.
///
/// # Errors
/// It was not handed over, or not sent.
pub fn hand_over(directory: &Path, to: &Target, text: &str, queue: bool, timeout: Duration) -> Result<Handed, Refused> {
    let begun = Clock::start();
    let from = begun.monotonic();
    let mut stream = Blocking::connect(directory.join(SOCKET)).map_err(|_| Refused::Nobody)?;
    let to = match to {
        Target::Conversation(id) => json!(id),
        Target::Username(name) => json!(name),
        Target::Account { user, username } => json!({"user": user, "username": username}),
    };
    let line = format!("{}\n", json!({"to": to, "text": text}));
    stream.set_write_timeout(Some(timeout.max(Duration::from_millis(1)))).map_err(|_| Refused::Nobody)?;
    // Without the end of the line nothing was asked.
    stream.write_all(line.as_bytes()).map_err(|_| Refused::Nobody)?;
    let mut lines = BufReader::new(stream);
    let mut is_kept = false;
    loop {
        let passed = Duration::from_millis(begun.monotonic().since(from));
        let rest = timeout.saturating_sub(passed).max(Duration::from_millis(1));
        let mut line = String::new();
        let read = lines.get_ref().set_read_timeout(Some(rest)).and_then(|()| lines.read_line(&mut line));
        match read {
            Ok(1..) => {}
            Err(error) if is_kept && matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(Handed::Kept);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(Refused::Silent);
            }
            _ => return Err(Refused::Lost),
        }
        let said: Value = serde_json::from_str(&line).map_err(|_| Refused::Lost)?;
        let text = |name: &str| said[name].as_str().map(str::to_owned);
        if let (Some(conversation), Some(number)) = (said["stored"][0].as_u64(), said["stored"][1].as_u64()) {
            return Ok(Handed::Stored { conversation, number });
        }
        if let Some(why) = text("refused") {
            return Err(Refused::No(why));
        }
        if let Some(why) = text("not_logged_in") {
            return Err(Refused::NotLoggedIn(why));
        }
        is_kept |= said["kept"] == true;
        if is_kept && queue {
            return Ok(Handed::Kept);
        }
    }
}

/// The side that has the profile.
pub(super) struct Handover {
    listener: UnixListener,
    path: PathBuf,
    first: usize,
    peers: BTreeMap<usize, Peer>,
    next_ticket: u64,
    asked: Vec<(Ticket, Command)>,
}

struct Peer {
    stream: UnixStream,
    line: Vec<u8>,
    /// Of the message that it has handed over.
    ticket: Option<Ticket>,
    /// The engine has it.
    is_taken: bool,
    is_told_kept: bool,
}

impl Handover {
    /// Listens in a profile's directory, which this process has. `token` and all above it are its own.
    ///
    /// # Errors
    /// The system says no; a path of more than some hundred bytes is too long for a socket.
    pub(super) fn open(directory: &Path, registry: &Registry, token: Token) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        // That of a process that was killed. Nobody but the holder of the profile comes here.
        let _ = fs::remove_file(&path);
        let mut listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self { listener, path, first: token.0, peers: BTreeMap::new(), next_ticket: FOREIGN, asked: Vec::new() })
    }

    /// Something has happened at a socket of this token.
    pub(super) fn ready(&mut self, registry: &Registry, token: Token) {
        if token.0 == self.first {
            self.accept(registry);
        } else if self.read(token.0).is_none() {
            self.peers.remove(&token.0);
        }
    }

    fn accept(&mut self, registry: &Registry) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let free = (self.first + 1..).find(|token| !self.peers.contains_key(token)).unwrap_or(self.first);
            // One more is closed at once, and tries again.
            if self.peers.len() < HANDED_OVER_MAX
                && registry.register(&mut stream, Token(free), Interest::READABLE).is_ok()
            {
                self.peers.insert(
                    free,
                    Peer { stream, line: Vec::new(), ticket: None, is_taken: false, is_told_kept: false },
                );
                if self.read(free).is_none() {
                    self.peers.remove(&free);
                }
            }
        }
    }

    /// Reads what a peer asks. `None`: it is gone, or makes no sense.
    fn read(&mut self, token: usize) -> Option<()> {
        let peer = self.peers.get_mut(&token)?;
        let mut buffer = [0; 4096];
        loop {
            match peer.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => peer.line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if peer.line.len() > HANDED_OVER_BYTES_MAX {
                return None;
            }
        }
        if peer.ticket.is_none() && peer.line.ends_with(b"\n") {
            let command = understood(&peer.line)?;
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            peer.ticket = Some(ticket);
            self.asked.push((ticket, command));
        }
        Some(())
    }

    /// What was asked since the last time. It is the engine's from now on.
    pub(super) fn take_asked(&mut self) -> Vec<(Ticket, Command)> {
        self.peers.values_mut().for_each(|peer| peer.is_taken = peer.ticket.is_some());
        std::mem::take(&mut self.asked)
    }

    /// Whether an answer is not the program's own. It is told to whoever has asked, if they still listen.
    pub(super) fn takes_answer(&mut self, ticket: Ticket, outcome: &Result<Answer, Failure>) -> bool {
        if ticket.0 < FOREIGN {
            return false;
        }
        let found = self.peers.iter().find(|(_, peer)| peer.ticket == Some(ticket)).map(|(&token, _)| token);
        if let Some(mut peer) = found.and_then(|token| self.peers.remove(&token)) {
            peer.tell(&told(outcome));
        }
        true
    }

    /// Everything that was taken and not answered is in the outbox now, on disk.
    pub(super) fn tell_kept(&mut self) {
        for peer in self.peers.values_mut().filter(|peer| peer.is_taken && !peer.is_told_kept) {
            peer.is_told_kept = true;
            peer.tell(&json!({"kept": true}));
        }
    }
}

impl Peer {
    /// Two short lines always fit into a socket's buffer; a peer that is gone needs none.
    fn tell(&mut self, value: &Value) {
        let _ = self.stream.write_all(format!("{value}\n").as_bytes());
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        // What is left behind is removed by the next process.
        let _ = fs::remove_file(&self.path);
    }
}

fn understood(line: &[u8]) -> Option<Command> {
    let asked: Value = serde_json::from_slice(line).ok()?;
    let to = match &asked["to"] {
        Value::String(name) => Target::Username(name.clone()),
        Value::Object(account) => Target::Account {
            user: account.get("user")?.as_u64()?,
            username: account.get("username")?.as_str()?.to_owned(),
        },
        to => Target::Conversation(to.as_u64()?),
    };
    Some(Command::Send { to, text: asked["text"].as_str()?.into() })
}

fn told(outcome: &Result<Answer, Failure>) -> Value {
    match outcome {
        Ok(Answer::Stored { conversation, number }) => json!({"stored": [conversation, number]}),
        Ok(_) => json!({"kept": true}),
        Err(Failure::LogInNeeded(why)) => json!({"not_logged_in": why}),
        Err(failure) => json!({"refused": failure.to_string()}),
    }
}
