//! Nodes that are away until the others have purged the part of the log that they lack.
//!
//! Whoever comes back after that is given a snapshot. A process that starts anew takes it in with nothing under way; one that
//! stood still, or was cut off with its clients, has writes under way whose entries the snapshot covers. So a node that went
//! on in the same process is made leader afterwards, and has to take writes.

use std::path::Path;
use std::time::Duration;

use super::campaign::{Campaign, OVERCOME};
use super::pass;
use super::schedule::{Away, Step};
use crate::cluster::Node;
use crate::oracle::log_ends;
use crate::{now, wait_until};

/// A node is not away for longer than this, purged or not.
const ABSENCE_MAX: Duration = Duration::from_secs(90);

/// Clients try a node that is cut off for this long.
const CLIENTS_STAY: Duration = Duration::from_secs(3);

/// Leaders killed until one certain node leads. Each time it is one of those that have a fair chance, so with five nodes
/// this many in vain come about once in a thousand times.
const LEADERS_MAX: usize = 24;

impl Campaign<'_> {
    /// A node is away until what it lacks is purged, and comes back.
    pub(super) fn absence(&mut self, away: Away, victim: usize, step: &Step) {
        self.event(&format_args!("{}: {}", step.fault, self.names(&[victim])));
        let node = &self.cluster.nodes[victim];
        let has = newest(&node.dir);
        match away {
            Away::Dead => self.end(&[node], Node::kill),
            Away::Frozen => node.freeze(),
            Away::Cut => self.isolate(victim),
        }
        if away == Away::Cut {
            pass(CLIENTS_STAY);
        }
        // Whoever sits there waits for answers. No others follow: in the end all would wait there, and nobody would write.
        let addresses = |all: bool| {
            let nodes = self.cluster.nodes.iter().enumerate();
            nodes.filter(|&(place, _)| all || place != victim).map(|(_, node)| node.address()).collect()
        };
        self.workload.set_addresses(addresses(false));
        let purged = self.until_purged(Some(victim), has);
        match away {
            Away::Dead => {
                self.start(&[node]);
                pass(step.then);
                self.end(&[node], Node::kill);
                self.start(&[node]);
            }
            Away::Frozen => node.thaw(),
            Away::Cut => self.network.heal(),
        }
        self.workload.set_addresses(addresses(true));
        let missed = self.newest_of_others(victim).saturating_sub(has);
        let words = if purged { "purged since" } else { "not all of them purged" };
        self.event(&format_args!("  it had missed {missed} entries, {words}"));
        if away != Away::Dead {
            self.make_lead(victim);
        }
    }

    /// Nobody but its clients reaches it.
    fn isolate(&self, victim: usize) {
        let nodes = &self.cluster.nodes;
        for (_, other) in nodes.iter().enumerate().filter(|&(place, _)| place != victim) {
            self.network.cut(nodes[victim].address(), other.address());
            self.network.cut(other.address(), nodes[victim].address());
        }
    }

    /// Writers hurry until all nodes but `victim` have purged the entry after `has`, or for [`ABSENCE_MAX`]. Returns whether
    /// they have.
    pub(super) fn until_purged(&self, victim: Option<usize>, has: u64) -> bool {
        let others = || self.cluster.nodes.iter().enumerate().filter(|&(place, _)| Some(place) != victim);
        let purged = || others().all(|(_, node)| oldest(&node.dir).is_some_and(|oldest| oldest > has + 1));
        let deadline = now() + ABSENCE_MAX;
        self.workload.hurry(true);
        let mut done = purged();
        while !done && now() < deadline && self.found.is_empty() {
            pass(Duration::from_millis(100));
            done = purged();
        }
        self.workload.hurry(false);
        done
    }

    fn newest_of_others(&self, victim: usize) -> u64 {
        let nodes = self.cluster.nodes.iter().enumerate().filter(|&(place, _)| place != victim);
        nodes.map(|(_, node)| newest(&node.dir)).max().unwrap_or(0)
    }

    /// Kills leaders until the victim is one, and waits until it has taken writes.
    fn make_lead(&self, victim: usize) {
        let node = &self.cluster.nodes[victim];
        for _ in 0..LEADERS_MAX {
            self.wait_caught_up(victim);
            let leader = self.cluster.leader();
            if leader == victim {
                break;
            }
            let leader = &self.cluster.nodes[leader];
            self.end(&[leader], Node::kill);
            self.start(&[leader]);
        }
        if self.cluster.leader() != victim {
            self.event(&format_args!("  it was not elected in {LEADERS_MAX} elections"));
            return;
        }
        let pulse = &self.workload.shared.pulse;
        let goal = pulse.total() + OVERCOME * self.settings.clients;
        wait_until(&format!("writes to be taken while {} leads", node.name), || pulse.total() >= goal);
        self.event(&format_args!("  {} leads and takes writes", node.name));
    }

    /// Waits until a node has applied what the others had applied before, and knows the same leader.
    fn wait_caught_up(&self, victim: usize) {
        let goal = self.newest_of_others(victim);
        wait_until(&format!("{} to catch up", self.cluster.nodes[victim].name), || {
            self.cluster.nodes[victim]
                .status()
                .is_some_and(|status| status.applied.is_some_and(|applied| applied >= goal) && status.leader.is_some())
        });
    }
}

/// The newest entry in the log of a node; 0 if it cannot be read.
fn newest(dir: &Path) -> u64 {
    log_ends(dir).map_or(0, |(_, newest)| newest)
}

/// The oldest entry that it has kept.
fn oldest(dir: &Path) -> Option<u64> {
    log_ends(dir).map(|(oldest, _)| oldest)
}
