//! Log entries as they are stored and sent.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The place of an entry in the log together with the leader that proposed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogId {
    /// Term of the proposing leader.
    pub term: u64,
    /// Node id of the proposing leader: one term may see two leaders, the later one valid.
    pub node: u64,
    /// Position in the log, from 0.
    pub index: u64,
}

/// One log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// Where it stands.
    pub log_id: LogId,
    /// What it says.
    #[serde(borrow)]
    pub payload: Payload<'a>,
}

/// Content of a log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload<'a> {
    /// Nothing: what a new leader commits first.
    Blank,
    /// An encoded [`super::command::Batch`]. Kept as bytes so that logging and sending never decode it.
    Batch(#[serde(borrow)] &'a [u8]),
    /// A change of the cluster's members.
    Membership(Membership),
}

/// The members of a cluster: who votes, and where everybody is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// One set of voters, or two during a change, when a majority of each must agree.
    pub configs: Vec<Vec<u64>>,
    /// All members, voters and learners, sorted by id.
    pub nodes: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Random, made when the data directory was made, never reused.
    pub id: u64,
    /// Where clients (TCP) and peers (UDP) reach it: `HOST:PORT`.
    pub address: String,
    /// What its operator calls it.
    pub name: String,
}
