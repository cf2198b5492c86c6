//! Cluster life: how a cluster begins, how a machine joins it, how it starts again.
//!
//! * [`ca`]: the cluster's certificate authority.
//! * [`code`]: one-time join codes.
//! * [`identity`]: what the data directory knows about this node.
//! * [`begin`]: found, join, or start again: the three ways to become a running member.

pub mod begin;
pub mod ca;
pub mod code;
pub mod identity;

/// Whether `name` can be the name of a server or a cluster: shown in status lines of `key=value`, so without spaces.
pub fn valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}
