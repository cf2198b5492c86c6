//! Cluster life: how a cluster begins, how a machine joins it, how it starts again.
//!
//! * [`ca`]: the cluster's certificate authority.
//! * [`code`]: one-time join codes.
//! * [`identity`]: what the data directory knows about this node.
//! * [`export`]: the authority's certificate, for programs that know no pins.
//! * [`addresses`]: which of this machine's addresses the others are told.
//! * [`begin`]: found, join, or start again: the three ways to become a running member.

use wire::replication::entry::Member;

pub mod addresses;
pub mod begin;
pub mod ca;
pub mod code;
pub mod export;
pub mod identity;

/// Whether a newcomer comes in the place of a member: at the same address, where two cannot run, or under the same name
/// if its operator chose that. Machines that share a host name are not taken for one another.
pub fn takes_place_of(newcomer: &Member, named: bool, member: &Member) -> bool {
    let same = newcomer.address == member.address || (named && newcomer.name == member.name);
    same && newcomer.id != member.id
}

/// Whether `name` can be the name of a server or a cluster: shown in status lines of `key=value`, so without spaces.
pub fn valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}
