//! Log entries as this process holds them: cheap to clone, because one entry is flushed, sent to every follower and
//! applied.

use std::sync::Arc;

use wire::DecodeError;
use wire::replication::entry::{Entry, LogId, Membership, Payload};
use wire::replication::{decode, encode};

/// One log entry with owned content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub log_id: LogId,
    /// What it says.
    pub payload: LogPayload,
}

/// Owned counterpart of [`Payload`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPayload {
    /// Nothing.
    Blank,
    /// An encoded [`wire::replication::command::Batch`].
    Batch(Arc<[u8]>),
    /// A change of members.
    Membership(Membership),
}

impl LogEntry {
    /// The entry as it is stored and sent.
    pub fn as_wire(&self) -> Entry<'_> {
        Entry {
            log_id: self.log_id,
            payload: match &self.payload {
                LogPayload::Blank => Payload::Blank,
                LogPayload::Batch(bytes) => Payload::Batch(bytes),
                LogPayload::Membership(membership) => Payload::Membership(membership.clone()),
            },
        }
    }

    /// Takes over a received entry: one copy of a batch's bytes.
    pub fn from_wire(entry: Entry<'_>) -> Self {
        LogEntry {
            log_id: entry.log_id,
            payload: match entry.payload {
                Payload::Blank => LogPayload::Blank,
                Payload::Batch(bytes) => LogPayload::Batch(bytes.into()),
                Payload::Membership(membership) => LogPayload::Membership(membership),
            },
        }
    }

    /// Bytes this entry adds to a frame or a record, near enough for budgets.
    pub fn weight(&self) -> usize {
        64 + match &self.payload {
            LogPayload::Blank => 0,
            LogPayload::Batch(bytes) => bytes.len(),
            LogPayload::Membership(membership) => membership.nodes.len() * 64,
        }
    }

    /// The record for `log.db`, without its checksum.
    pub fn to_record(&self) -> Vec<u8> {
        encode(&self.as_wire())
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// The record is damaged or of an unknown version.
    pub fn from_record(record: &[u8]) -> Result<Self, DecodeError> {
        decode::<Entry<'_>>(record).map(Self::from_wire)
    }
}
