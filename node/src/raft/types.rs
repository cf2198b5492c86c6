//! What openraft is parameterised with, and the conversions between its types and [`wire::replication`]. openraft's
//! types end here: they never reach a disk or a link.

use std::sync::Arc;

use openraft::{CommittedLeaderId, Entry, EntryPayload};
use wire::replication::command::Outcome;
use wire::replication::entry::{LogId as WireLogId, Member, Membership as WireMembership};
use wire::replication::rpc::Vote as WireVote;

use super::runtime::Runtime;
use super::snapshot::SnapshotContent;
use crate::storage::entry::{LogEntry, LogPayload};

openraft::declare_raft_types!(
    /// openraft's parameters for this node.
    pub TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = Peer,
        Entry = Entry<TypeConfig>,
        SnapshotData = SnapshotContent,
        AsyncRuntime = Runtime,
);

/// The consensus engine of this node.
pub type Raft = openraft::Raft<TypeConfig>;
/// Place of an entry, as openraft has it.
pub type LogId = openraft::LogId<u64>;
/// A vote, as openraft has it.
pub type Vote = openraft::Vote<u64>;
/// Members and where they were logged, as openraft has it.
pub type StoredMembership = openraft::StoredMembership<u64, Peer>;

/// An encoded [`wire::replication::command::Batch`], shared by log, links and apply. Empty where an entry is to be applied and
/// its content was left in the log, because there is no room for it: an encoded batch has bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal(pub Arc<[u8]>);

/// Whether the content of an entry was left in the log; see [`Proposal`].
pub fn is_left_in_log(entry: &Entry<TypeConfig>) -> bool {
    matches!(&entry.payload, EntryPayload::Normal(Proposal(bytes)) if bytes.is_empty())
}

/// Leaves the content of an entry in the log; returns how many bytes it has.
pub fn leave_in_log(entry: &mut Entry<TypeConfig>) {
    if let EntryPayload::Normal(Proposal(bytes)) = &mut entry.payload {
        *bytes = Arc::default();
    }
}

/// Bytes that the content of an entry occupies; those of members are few.
pub fn content_bytes(entry: &Entry<TypeConfig>) -> usize {
    match &entry.payload {
        EntryPayload::Normal(Proposal(bytes)) => bytes.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// What applying an entry gave: one list of outcomes per run of the batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied(pub Vec<Vec<Outcome>>);

/// A member without its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// `HOST:PORT`, TCP for clients and UDP for nodes.
    pub address: String,
    /// What its operator calls it.
    pub name: String,
}

impl Peer {
    /// The member without its id.
    pub fn from_member(member: &Member) -> Self {
        Peer { address: member.address.clone(), name: member.name.clone() }
    }

    /// The member with its id.
    pub fn into_member(self, id: u64) -> Member {
        Member { id, address: self.address, name: self.name }
    }
}

/// To openraft.
pub fn log_id_in(id: WireLogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term, id.node), id.index)
}

/// From openraft.
pub fn log_id_out(id: &LogId) -> WireLogId {
    WireLogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

/// To openraft.
pub fn vote_in(vote: WireVote) -> Vote {
    if vote.committed { Vote::new_committed(vote.term, vote.node) } else { Vote::new(vote.term, vote.node) }
}

/// From openraft.
pub fn vote_out(vote: &Vote) -> WireVote {
    WireVote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

/// To openraft.
pub fn membership_in(membership: WireMembership) -> openraft::Membership<u64, Peer> {
    let nodes = membership.nodes.iter().map(|member| (member.id, Peer::from_member(member)));
    openraft::Membership::new(
        membership.configs.into_iter().map(|config| config.into_iter().collect()).collect(),
        nodes.collect::<std::collections::BTreeMap<_, _>>(),
    )
}

/// From openraft.
pub fn membership_out(membership: &openraft::Membership<u64, Peer>) -> WireMembership {
    WireMembership {
        configs: membership.get_joint_config().iter().map(|config| config.iter().copied().collect()).collect(),
        nodes: membership.nodes().map(|(id, peer)| peer.clone().into_member(*id)).collect(),
    }
}

/// To openraft, from what storage keeps: members and the entry that logged them.
pub fn stored_membership_in((log_id, membership): (Option<WireLogId>, WireMembership)) -> StoredMembership {
    StoredMembership::new(log_id.map(log_id_in), membership_in(membership))
}

/// From openraft.
pub fn entry_out(entry: &Entry<TypeConfig>) -> LogEntry {
    LogEntry {
        log_id: log_id_out(&entry.log_id),
        payload: match &entry.payload {
            EntryPayload::Blank => LogPayload::Blank,
            EntryPayload::Normal(Proposal(bytes)) => LogPayload::Batch(bytes.clone()),
            EntryPayload::Membership(membership) => LogPayload::Membership(membership_out(membership)),
        },
    }
}

/// To openraft.
pub fn entry_in(entry: LogEntry) -> Entry<TypeConfig> {
    Entry {
        log_id: log_id_in(entry.log_id),
        payload: match entry.payload {
            LogPayload::Blank => EntryPayload::Blank,
            LogPayload::Batch(bytes) => EntryPayload::Normal(Proposal(bytes)),
            LogPayload::Membership(membership) => EntryPayload::Membership(membership_in(membership)),
        },
    }
}
