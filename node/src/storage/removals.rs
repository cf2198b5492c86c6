//! Who was shut out of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use wire::replication::entry::Membership;

use super::rows;
use crate::chat::state::RemovedNode;

/// The nodes that operators removed, and the members as of the same applied entry.
///
/// A removal is first written down, then carried out by a change of the members. In between the node still belongs:
/// the change may need its vote. So whoever is asked looks at both. Being no member is never enough by itself, for this
/// replica may just not have heard of a newcomer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removals {
    /// All removals ever, by node id.
    pub nodes: BTreeMap<u64, RemovedNode>,
    /// Ids of the members, learners too.
    pub members: BTreeSet<u64>,
}

impl Removals {
    pub(super) fn load(connection: &Connection, membership: &Membership) -> rusqlite::Result<Removals> {
        let nodes = connection
            .prepare_cached("SELECT node, name, by, time_ms FROM removed_nodes")?
            .query_map([], |row| {
                let node = RemovedNode { name: row.get(1)?, by: row.get(2)?, time_ms: rows::u64_at(row, 3)? };
                Ok((rows::u64_at(row, 0)?, node))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Removals { nodes, members: membership.nodes.iter().map(|member| member.id).collect() })
    }

    /// The removal of a node that was carried out: nobody may listen to it any more.
    pub fn outcast(&self, node: u64) -> Option<&RemovedNode> {
        self.nodes.get(&node).filter(|_| !self.members.contains(&node))
    }
}

/// Told of every change.
pub(super) struct Observer(pub(super) Box<dyn Fn(&Removals) + Send>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}
