//! Nodes that are gone for good, and blank ones that take their places.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::campaign::{Campaign, LONG};
use super::pass;
use super::rng::Rng;
use super::schedule::Step;
use crate::cluster::{Join, Node, Ready};
use crate::{now, proxy, wait_for, wait_until};

/// Times that a blank node is killed while it joins.
const JOINING_KILLS: usize = 3;

/// Longest life of a blank node until it is killed: longer than it takes to be let in and to receive a snapshot.
const JOINING_LIFE_MS: u64 = 1500;

/// Longest life after a snapshot has been sent to it.
const INSTALLING_LIFE_MS: u64 = 400;

/// The line of a node that sends a snapshot.
pub(super) const SENDING: &str = "sending a snapshot";

impl Campaign<'_> {
    /// Kills a node for good, has the others remove it, and lets a blank one join through one of them.
    pub(super) fn replace(&mut self, victim: usize, step: &Step) {
        self.event(&format_args!("{}: {}", step.fault, self.names(&[victim])));
        self.end(&[&self.cluster.nodes[victim]], Node::kill);
        self.remove(victim);
        let name = self.new_name();
        proxy::add_node(&mut self.cluster, &mut self.network, &name);
        self.watch_newest();
    }

    /// As [`Campaign::replace`], but the blank one is killed at moments of its joining, and comes back from its directory.
    pub(super) fn replace_killed_joining(&mut self, victim: usize, step: &Step, rng: &mut Rng) {
        self.event(&format_args!("{}: {}", step.fault, self.names(&[victim])));
        self.end(&[&self.cluster.nodes[victim]], Node::kill);
        self.remove(victim);
        if self.settings.length >= LONG {
            // Then it needs a snapshot. Once purged the beginning of the log is gone for the rest of the campaign.
            self.until_purged(None, 0);
        }
        let name = self.new_name();
        let node = proxy::new_node(&self.cluster, &mut self.network, &name);
        // In the list before its start, so that its log is shown if that fails; nobody uses it before it is ready.
        self.cluster.nodes.push(node);
        let place = self.cluster.nodes.len() - 1;
        for _ in 0..JOINING_KILLS {
            let sent = self.snapshots_sent();
            let ready = self.start_blank(place);
            if rng.one_in(2) {
                let deadline = now() + Duration::from_millis(2 * JOINING_LIFE_MS);
                while self.snapshots_sent() == sent && now() < deadline {
                    pass(Duration::from_millis(10));
                }
                pass(rng.millis(0..=INSTALLING_LIFE_MS));
            } else {
                pass(rng.millis(1..=JOINING_LIFE_MS));
            }
            let node = &self.cluster.nodes[place];
            assert!(node.is_running(), "{} ended by itself while it joined: {}", node.name, last_line(node));
            drop(ready);
            self.network.close(node.address());
            if rng.one_in(2) {
                node.kill();
            } else {
                node.interrupt();
            }
            self.network.open(node.address());
        }
        let ready = self.start_blank(place);
        self.cluster.nodes[place].wait_ready(&ready);
        self.watch_newest();
    }

    /// Twice takes a node's disk away and lets a blank one join under its name and at its address.
    pub(super) fn lose_twice(&mut self, victim: usize, step: &Step) {
        self.event(&format_args!("{}: {}", step.fault, self.names(&[victim])));
        for _ in 0..2 {
            let node = &self.cluster.nodes[victim];
            self.watch.remove(node);
            self.end(&[node], Node::kill);
            fs::remove_dir_all(&node.dir).expect("the test's directory can be written");
            pass(step.hold);
            self.network.open(node.address());
            let others = self.cluster.nodes.iter().enumerate().filter(|&(place, _)| place != victim);
            let member = others.map(|(_, other)| other).next().expect("a cluster has several nodes");
            let ready = node.spawn(Some(&invite(member)));
            node.wait_ready(&ready);
            self.watch.add(node);
        }
        // It takes the vote of its former self with it; until then that one counts as a dead voter.
        self.cluster.wait_voters(self.cluster.nodes.len());
    }

    /// Starts a node that has perhaps not been let in yet: it keeps its code until then.
    fn start_blank(&self, place: usize) -> Ready {
        let node = &self.cluster.nodes[place];
        if node.dir.join("node.json").exists() {
            return node.spawn(None);
        }
        // The code before may have been used up by an answer that never arrived. The same node may ask with another.
        node.spawn(Some(&invite(&self.cluster.nodes[0])))
    }

    /// Snapshots that nodes of this cluster have sent to each other.
    pub(super) fn snapshots_sent(&self) -> usize {
        self.cluster.nodes.iter().map(|node| node.printed().matches(SENDING).count()).sum()
    }

    /// Has the others remove a dead node.
    pub(super) fn remove(&mut self, victim: usize) {
        let gone = self.cluster.nodes.remove(victim);
        self.watch.remove(&gone);
        self.workload.set_addresses(self.cluster.nodes.iter().map(Node::address).collect());
        let remove = json!({ "command": "remove-member", "member": gone.name });
        wait_until("a removal to be committed", || {
            let other = &self.cluster.nodes[victim % self.cluster.nodes.len()];
            // An answer may be lost; what counts is who is still listed.
            other.ask(&remove).is_ok()
                || other.status().is_some_and(|it| it.members.iter().all(|member| member.name != gone.name))
        });
    }

    /// A name that no node had before.
    pub(super) fn new_name(&mut self) -> String {
        self.newest += 1;
        format!("n{}", self.newest)
    }

    /// Clients may use the newest node, and it is watched.
    pub(super) fn watch_newest(&mut self) {
        if let Some(new) = self.cluster.nodes.last() {
            self.watch.add(new);
        }
        self.workload.set_addresses(self.cluster.nodes.iter().map(Node::address).collect());
    }
}

/// A way in through `member`, once a leader makes a code.
fn invite(member: &Node) -> Join {
    let code = wait_for("a join code", || Some(member.admin("join-code").ok()?["code"].as_str()?.to_owned()));
    Join { peer: member.address().to_string(), code }
}

fn last_line(node: &Node) -> String {
    node.printed().lines().last().unwrap_or_default().to_owned()
}
