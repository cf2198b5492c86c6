//! Requests and replies between admitted nodes. One QUIC stream carries one purpose; on it requests and replies
//! alternate, each a `u32` big-endian length and that many bytes of versioned postcard.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::{Outcome, Run};
use super::entry::{Entry, LogId, Member, Membership};

/// A vote: a node's promise to a candidate or a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Term.
    pub term: u64,
    /// For whom.
    pub node: u64,
    /// Whether a quorum has granted it, which makes it a leader's.
    pub committed: bool,
}

/// The first frame on every connection between nodes, both ways, before anything else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The speaker's node id; its certificate must be valid for it.
    pub node: u64,
    /// The newest rule level the speaker can apply.
    pub rule_level: u16,
    /// The speaker's process.
    pub life: Life,
    /// End of the speaker's log on disk. Where a leader has cut the log off and appended nothing since: that leader's id
    /// with the index of the entry before the cut, so that this never goes back.
    pub end: Option<LogId>,
    /// What the speaker remembers of the listener, from earlier lives of both.
    pub remembered: Option<Remembered>,
    /// The speaker's operator has said that its data directory counts, although it may be older than its promises.
    pub trusted: bool,
}

/// One process of a server, from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Raised at each start, on disk before the process speaks to anybody.
    pub incarnation: u64,
    /// Drawn at each start. Two processes of one incarnation tell that a data directory was copied.
    pub id: [u8; 16],
}

/// What a node remembers of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its latest process.
    pub life: Life,
    /// The last entry that it has promised to have on disk.
    pub promised: Option<LogId>,
}

/// What one node asks another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest<'a> {
    /// Raft RequestVote.
    Vote {
        /// The candidate's vote.
        vote: Vote,
        /// End of its log.
        last_log_id: Option<LogId>,
    },
    /// Raft AppendEntries, also the heartbeat.
    Append {
        /// The leader's vote.
        vote: Vote,
        /// The entry before the first one sent.
        prev_log_id: Option<LogId>,
        /// Up to where a quorum has the log.
        leader_commit: Option<LogId>,
        /// The entries.
        #[serde(borrow)]
        entries: Vec<Entry<'a>>,
    },
    /// Raft InstallSnapshot: the header; `bytes` bytes of a state database follow on the stream.
    Snapshot {
        /// The leader's vote.
        vote: Vote,
        /// What the content holds.
        header: SnapshotHeader,
    },
    /// Writes for the leader to propose.
    Forward {
        /// They stay in this order.
        #[serde(borrow)]
        runs: Vec<Run<'a>>,
    },
    /// Up to where must a replica have applied to answer a read that begins now?
    ReadIndex,
    /// The cluster CA's private key, for voters only.
    CaKey,
    /// "I am reached at this address now."
    Announce {
        /// The sender as it wants to be listed.
        member: Member,
    },
    /// Sign a newcomer's certificate: a join request that reached a node which does not lead.
    Join {
        /// An encoded [`super::join::JoinRequest`].
        #[serde(borrow)]
        request: &'a [u8],
    },
    /// Remove a member for good. Answered once it is done; asking again is harmless.
    Remove {
        /// Its id.
        node: u64,
        /// Name of the server on which an operator asked for it.
        by: &'a str,
    },
    /// Would you vote for me? Asked before a term is raised.
    PreVote {
        /// End of the asking node's log.
        last_log_id: Option<LogId>,
        /// The leader whose process is known to have died, if that is why.
        dead: Option<u64>,
    },
    /// Presence and typing, in passing: nothing of it is stored, and nothing depends on its arrival.
    Whispers {
        /// In order.
        whispers: Vec<Whisper>,
    },
    /// Hashes of the speaker's state, to be compared. Answered with [`PeerReply::Done`].
    States {
        /// Applied entries, each with the hash of the state behind it.
        places: Vec<(u64, [u8; 32])>,
    },
    /// Do you have a link to this node? Asked about yourself, the answer shows that you run.
    Reaches {
        /// Its id.
        node: u64,
    },
    /// How late is it with you?
    Clock,
    /// Where the speaker is reached, and where it reaches others now; what it said before is over.
    Addresses {
        /// At most [`crate::limits::ADDRESSES_MAX`].
        known: Vec<KnownAddress>,
    },
}

/// Where a member is reached, as another says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAddress {
    /// Id of the member.
    pub node: u64,
    /// `HOST:PORT`.
    pub address: String,
}

/// Something about people that is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whisper {
    /// Everybody who is connected to the speaker, at most [`crate::limits::WHISPERED_USERS_MAX`].
    Everybody {
        /// User ids.
        users: Vec<u64>,
    },
    /// Somebody has connected to the speaker.
    Came {
        /// User id.
        user: u64,
    },
    /// Somebody has left the speaker, and stayed away for a while.
    Left {
        /// User id.
        user: u64,
    },
    /// Somebody types, or does not any more.
    Typing {
        /// In which conversation.
        conversation: u64,
        /// User id.
        user: u64,
        /// False: not any more.
        on: bool,
        /// Who is in the conversation.
        audience: Vec<u64>,
    },
}

/// What the other answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerReply {
    /// To [`PeerRequest::Vote`].
    Vote {
        /// The vote the answering node holds now.
        vote: Vote,
        /// Whether it is the candidate's.
        granted: bool,
        /// End of its log.
        last_log_id: Option<LogId>,
    },
    /// To [`PeerRequest::Append`].
    Append(AppendOutcome),
    /// To [`PeerRequest::Snapshot`]: the vote the answering node holds now.
    Snapshot {
        /// Equal to the sender's if the snapshot was installed.
        vote: Vote,
    },
    /// To [`PeerRequest::Forward`]: one outcome per command, run by run.
    Forwarded {
        /// The outcomes.
        outcomes: Vec<Vec<Outcome>>,
    },
    /// To [`PeerRequest::ReadIndex`]: the log index that must be applied, if any entry exists at all.
    ReadIndex {
        /// Log index.
        index: u64,
    },
    /// To [`PeerRequest::CaKey`]: PEM.
    CaKey {
        /// The private key. Never logged.
        pem: String,
    },
    /// Done, nothing more to say.
    Done,
    /// To [`PeerRequest::Join`]: an encoded [`super::join::JoinReply`].
    Join {
        /// The reply for the newcomer.
        reply: Vec<u8>,
    },
    /// The answering node does not lead.
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<u64>,
    },
    /// The answering node has too much to do; ask again later.
    Overloaded,
    /// It could not be done and will not be by asking again at once.
    Failed {
        /// For the log of the asking node.
        reason: String,
    },
    /// To [`PeerRequest::Remove`]: the node is no member any more and is listened to by nobody.
    Removed {
        /// Servers that vote now.
        voters: u32,
    },
    /// To [`PeerRequest::PreVote`].
    PreVote {
        /// Whether the answering node would: it hears no leader, and its log goes no further.
        granted: bool,
    },
    /// To [`PeerRequest::Reaches`].
    Reaches {
        /// Whether a link stands.
        linked: bool,
    },
    /// To [`PeerRequest::Clock`].
    Clock {
        /// The machine's clock, milliseconds since 1970, UTC.
        time_ms: u64,
        /// The time that the answering node would stamp on an entry now. Another one where its clock is certainly wrong.
        stamp_ms: u64,
    },
}

/// Outcome of an append, as Raft knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppendOutcome {
    /// All entries are flushed.
    Success,
    /// Entries up to this one are flushed.
    Partial(Option<LogId>),
    /// The entry before the first one differs.
    Conflict,
    /// A newer leader or candidate exists.
    HigherVote(Vote),
}

/// In front of a snapshot's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// Names the snapshot in logs.
    pub id: String,
    /// Last entry whose effects it holds.
    pub last_log_id: Option<LogId>,
    /// Where the membership below was logged.
    pub membership_log_id: Option<LogId>,
    /// Members as of that entry.
    pub membership: Membership,
    /// Size of the content.
    pub bytes: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
}

/// One datagram between admitted nodes: a heartbeat, or the answer to one. Datagrams overtake what the link's streams still
/// have to send, and nothing waits for one that is lost: the next follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datagram {
    /// A leader leads, while an append of its takes long.
    Heartbeat {
        /// The leader's vote.
        vote: Vote,
        /// Up to where a quorum has the log.
        leader_commit: Option<LogId>,
    },
    /// The answer of the node that was sent a heartbeat.
    Heard {
        /// The vote it holds now: the leader's, or a newer one.
        vote: Vote,
    },
}
