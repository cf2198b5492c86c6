//! Cluster life: how a cluster begins, how a machine joins it, how it starts again.
//!
//! * [`ca`]: the cluster's certificate authority.
//! * [`code`]: one-time join codes.
//! * [`identity`]: what the data directory knows about this node.

pub mod ca;
pub mod code;
pub mod identity;
