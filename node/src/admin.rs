//! Administration over a Unix socket in the data directory. Whoever may use the file (mode 0600) is an administrator.
//!
//! One JSON object per line each way: `{"command":"status"}`, `{"command":"join-code","valid_s":60}`,
//! `{"command":"members"}`, `{"command":"remove-member","member":"n3"}`. Both halves are here: the server inside a running
//! node, and the client behind `node status`, `node join-code` and `node members`.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use wire::replication::entry::Member;

use crate::limits::{
    ADMIN_CONNECTIONS_MAX, ADMIN_FAREWELL, ADMIN_IDLE_TIMEOUT, ADMIN_REQUEST_BYTES_MAX, ADMIN_TIMEOUT, GONE_AFTER,
};
use crate::raft::clocks::is_skewed;
use crate::raft::leader::Quorum;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "admin.sock";

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// [`Status`].
    Status,
    /// [`NewCode`].
    JoinCode {
        /// For how many seconds, if not the usual time.
        #[serde(default)]
        valid_s: Option<u64>,
    },
    /// [`Members`].
    Members,
    /// [`MemberRemoved`].
    RemoveMember {
        /// Name of the member, or its id as [`MemberStatus::id`] has it.
        member: String,
    },
}

/// What a node and its cluster are doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of this node.
    pub name: String,
    /// `leader`, `follower`, `candidate` or `learner`.
    pub role: String,
    /// Raft's.
    pub term: u64,
    /// Name of the leader, if there is one.
    pub leader: Option<String>,
    /// Newest entry in this node's log.
    pub last_log: Option<u64>,
    /// Newest entry known to be on a majority.
    pub committed: Option<u64>,
    /// Newest entry in this node's state.
    pub applied: Option<u64>,
    /// Of the state at `state_hash_at`: equal at equal index on every node.
    pub state_hash: String,
    /// Log index the hash belongs to.
    pub state_hash_at: Option<u64>,
    /// Everybody, learners too.
    pub members: Vec<MemberStatus>,
    /// Client connections.
    pub clients: usize,
    /// Where this node is reached.
    pub address: String,
    /// What a client is given: address, and pin of the cluster's key.
    pub client_link: String,
    /// Its id, hexadecimal.
    pub node_id: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the cluster.
    pub cluster_id: String,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// The servers that are missing while nobody leads, or that have to confirm something before this node votes.
    pub waiting_for: Option<String>,
    /// The newest rule level that all voters know.
    #[serde(default)]
    pub rule_level: u16,
    /// Sentences for an operator about things that work, and should be looked at all the same.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Id of the leader, hexadecimal: names may repeat.
    #[serde(default)]
    pub leader_id: Option<String>,
    /// Counts of servers that vote, are needed and are reached.
    #[serde(flatten)]
    pub quorum: QuorumStatus,
}

/// How many servers are there, and how many are needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuorumStatus {
    /// Servers that vote.
    pub voters: usize,
    /// Servers that have to be there to decide anything.
    pub needed: usize,
    /// Servers that vote and are reached from the answering one, itself included.
    pub reached: usize,
    /// That the next failure stops everything, or that nothing goes now.
    pub warning: Option<String>,
}

impl From<Quorum> for QuorumStatus {
    fn from(quorum: Quorum) -> Self {
        let warning = quorum.warning();
        QuorumStatus { voters: quorum.voters, needed: quorum.needed, reached: quorum.reached, warning }
    }
}

/// One member as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// Whether it votes; learners do not yet.
    pub voter: bool,
    /// Whether this node has a link to it (its own: always).
    pub connected: bool,
    /// Why it is not listened to, or cannot be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Milliseconds by which its clock is ahead of the answering node's, when it was last asked.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// The fault of this member in words, with the next step.
    #[serde(default)]
    pub note: Option<String>,
}

impl MemberStatus {
    /// From the cluster's list. `unreached_for` is how long this node has had no link to it, if it has none.
    pub fn new(member: Member, voter: bool, unreached_for: Option<Duration>, ahead_ms: Option<i64>) -> Self {
        let id = format!("{:016x}", member.id);
        let stuck = !voter && unreached_for.is_some_and(|time| time >= GONE_AFTER);
        let port = member.address.rsplit(':').next().unwrap_or_default();
        let skewed = ahead_ms.filter(|&ahead_ms| is_skewed(ahead_ms)).map(|ahead_ms| {
            let seconds = ahead_ms.unsigned_abs().div_ceil(1000);
            let which = if ahead_ms > 0 { "ahead of" } else { "behind" };
            format!("its clock is {seconds} s {which} this server's: set them right, for example with NTP")
        });
        let note = stuck.then(|| {
            format!(
                "it gets no vote while it is not reached at this address: start it, open UDP port {port} there, start it with \
                 --advertise HOST:PORT, or give it up with `node members remove {id}`"
            )
        });
        let note = note.or(skewed);
        let connected = unreached_for.is_none();
        let Member { name, address, .. } = member;
        MemberStatus { id, name, address, voter, connected, clock_ahead_ms: ahead_ms, note, trouble: None }
    }

    /// Its trouble, among warnings about other things.
    pub fn warning(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| format!("{} ({}): {trouble}", self.name, self.address))
    }
}

/// Who belongs to the cluster, and who did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Id of the leader, if there is one.
    pub leader: Option<String>,
    /// Everybody, learners too.
    pub members: Vec<MemberStatus>,
    /// Those that were removed.
    pub removed: Vec<FormerMember>,
    /// Counts of servers that vote, are needed and are reached.
    #[serde(flatten)]
    pub quorum: QuorumStatus,
}

/// A member that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerMember {
    /// Its id, hexadecimal. It never comes back.
    pub id: String,
    /// What it was called.
    pub name: String,
    /// Name of the server on which an operator asked for it.
    pub by: String,
    /// When, milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// A removal that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRemoved {
    /// Its name.
    pub name: String,
    /// Its id, hexadecimal.
    pub id: String,
    /// Servers that vote now.
    pub voters: u32,
}

/// A fresh join code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCode {
    /// The code. A secret until it is used.
    pub code: String,
    /// For how long.
    pub expires_in_s: u64,
    /// What to give as `--peers`.
    pub peers: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Problem {
    error: String,
}

/// What the running node does for the socket.
pub trait Administration: Send + Sync + 'static {
    /// Facts.
    fn status(&self) -> impl Future<Output = Result<Status, String>> + Send;
    /// A fresh code, committed, for the usual time or for another one.
    fn new_code(&self, valid: Option<Duration>) -> impl Future<Output = Result<NewCode, String>> + Send;
    /// Who belongs to the cluster.
    fn members(&self) -> impl Future<Output = Result<Members, String>> + Send;
    /// Removes a member for good.
    fn remove(&self, member: &str) -> impl Future<Output = Result<MemberRemoved, String>> + Send;
}

/// The served socket.
#[derive(Debug)]
pub struct Served {
    seats: Arc<Semaphore>,
}

impl Served {
    /// Returns once nobody is being answered, after a moment at the latest.
    pub async fn idle(&self) {
        let all = u32::try_from(ADMIN_CONNECTIONS_MAX).expect("a handful") - 1;
        // The one that waits in `accept` is taken all the time.
        let _ = tokio::time::timeout(ADMIN_FAREWELL, self.seats.acquire_many(all)).await;
    }
}

/// Serves the socket until the process ends.
///
/// # Errors
/// The socket cannot be made.
pub fn serve<A: Administration>(directory: &Path, administration: Arc<A>) -> io::Result<Served> {
    let path = directory.join(SOCKET);
    match std::fs::remove_file(&path) {
        // The directory's lock is held, so a socket there is a leftover.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let seats = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let served = Served { seats: seats.clone() };
    tokio::spawn(async move {
        loop {
            let Ok(seat) = seats.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let administration = administration.clone();
                    tokio::spawn(async move {
                        // An administrator who hangs up early is nobody's problem.
                        let _ = answer(stream, &*administration).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "administration socket");
                    tokio::time::sleep(ADMIN_TIMEOUT).await;
                }
            }
        }
    });
    Ok(served)
}

async fn answer<A: Administration>(stream: UnixStream, administration: &A) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = AsyncBufReader::new(read.take(ADMIN_REQUEST_BYTES_MAX));
    let mut line = Vec::new();
    loop {
        // Who says nothing, or does not listen, gives its seat to others.
        let read = tokio::time::timeout(ADMIN_IDLE_TIMEOUT, lines.read_until(b'\n', &mut line)).await?;
        if read? == 0 {
            return Ok(());
        }
        let too_long = !line.ends_with(b"\n") && lines.get_ref().limit() == 0;
        let reply = match serde_json::from_slice(&line) {
            _ if too_long => to_line::<()>(Err(format!("a request has at most {ADMIN_REQUEST_BYTES_MAX} bytes"))),
            Ok(Request::Status) => to_line(administration.status().await),
            Ok(Request::JoinCode { valid_s }) => {
                to_line(administration.new_code(valid_s.map(Duration::from_secs)).await)
            }
            Ok(Request::Members) => to_line(administration.members().await),
            Ok(Request::RemoveMember { member }) => to_line(administration.remove(&member).await),
            Err(error) => to_line::<()>(Err(format!("not a request: {error}"))),
        };
        tokio::time::timeout(ADMIN_IDLE_TIMEOUT, write.write_all(reply.as_bytes())).await??;
        if too_long {
            // Where the next request begins is not known.
            return Ok(());
        }
        line.clear();
        lines.get_mut().set_limit(ADMIN_REQUEST_BYTES_MAX);
    }
}

fn to_line<T: Serialize>(reply: Result<T, String>) -> String {
    let text = match reply {
        Ok(reply) => serde_json::to_string(&reply),
        Err(error) => serde_json::to_string(&Problem { error }),
    };
    text.expect("plain structs have a JSON form") + "\n"
}

/// Why a running node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No node runs there.
    #[error("no node is running on {directory} ({source}); start one, or say which with --data-dir")]
    NotRunning {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It broke off.
    #[error("the node on {directory} did not answer: {source}")]
    NoAnswer {
        /// The data directory.
        directory: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It runs, and says nothing.
    #[error(
        "the node on {directory} runs ({}) but did not answer within {} s: perhaps it is frozen or overloaded, or its disk \
         hangs; look at the end of its log, and at its state with `ps`",
        process(.pid), .patience.as_secs()
    )]
    Silent {
        /// The data directory.
        directory: PathBuf,
        /// Of its process, if the system tells.
        pid: Option<i32>,
        /// How long it was waited for.
        patience: Duration,
    },
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// For a person: which process it is.
fn process(pid: &Option<i32>) -> String {
    pid.map_or_else(|| "its process is there".to_owned(), |pid| format!("process {pid}"))
}

/// Asks the node that runs on a data directory.
///
/// # Errors
/// See [`AskError`].
pub fn ask<T: for<'a> Deserialize<'a>>(directory: &Path, request: &Request) -> Result<T, AskError> {
    ask_within(ADMIN_TIMEOUT, directory, request)
}

fn ask_within<T: for<'a> Deserialize<'a>>(
    patience: Duration,
    directory: &Path,
    request: &Request,
) -> Result<T, AskError> {
    let not_running = |source| AskError::NotRunning { directory: directory.to_owned(), source };
    let mut stream = BlockingStream::connect(directory.join(SOCKET)).map_err(not_running)?;
    let pid = rustix::net::sockopt::socket_peercred(&stream).ok().map(|peer| peer.pid.as_raw_nonzero().get());
    let no_answer = |source: io::Error| match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            AskError::Silent { directory: directory.to_owned(), pid, patience }
        }
        _ => AskError::NoAnswer { directory: directory.to_owned(), source },
    };
    stream.set_read_timeout(Some(patience)).map_err(no_answer)?;
    let request = serde_json::to_string(request).expect("plain enums have a JSON form") + "\n";
    stream.write_all(request.as_bytes()).map_err(no_answer)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(no_answer)?;
    if let Ok(Problem { error }) = serde_json::from_str(&line) {
        return Err(AskError::Refused(error));
    }
    serde_json::from_str(&line).map_err(|error| no_answer(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_says_nothing_is_told_from_one_that_does_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let ask = || {
            ask_within::<Status>(Duration::from_millis(50), directory.path(), &Request::Status).unwrap_err().to_string()
        };
        assert!(ask().contains("no node is running"), "{}", ask());
        // The kernel takes the connection, and nobody reads it, as where the process is stopped.
        let _listener = std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let said = ask();
        assert!(said.contains(&format!("runs (process {}) but did not answer within", std::process::id())), "{said}");
        assert!(said.contains("frozen") && !said.contains("os error"), "{said}");
    }
}
