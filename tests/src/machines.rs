//! Nodes with a machine to themselves, started with words that an operator types or copies from what another node printed.

use std::net::SocketAddr;

use crate::cluster::{Cluster, Node};
use crate::netns::{Lan, Machine};
use crate::wait_for;

/// The port of a node that was told nothing.
pub const PORT: u16 = 5555;

/// Where a node on that machine is reached that was told nothing.
pub fn at(machine: &Machine) -> SocketAddr {
    (machine.ip(), PORT).into()
}

/// A node that has a machine to itself, with these words typed behind `node`.
pub fn on(cluster: &Cluster, machine: &Machine, name: &str, typed: &[&str]) -> Node {
    let mut node = cluster.new_node(name);
    node.machine = Some(machine.clone());
    node.typed = Some(typed.iter().map(|&word| word.to_owned()).collect());
    node
}

/// Serves clients of other machines without TLS.
pub fn open(mut node: Node) -> Node {
    node.env.push(("SAMIRA_PLAINTEXT".into(), "any".into()));
    node
}

/// What a node printed to be typed on the next machine, without the program.
///
/// # Panics
/// When it prints nothing of the kind.
pub fn printed_line(node: &Node) -> Vec<String> {
    wait_for("the line for the next machine", || {
        let printed = node.printed();
        let (_, rest) = printed.split_once("run on the next machine:\n")?;
        let (line, _) = rest.split_once('\n')?;
        Some(line.split_whitespace().skip(1).map(str::to_owned).collect())
    })
}

/// Nodes on the first machines of the LAN, each started with the line that the one before it printed.
///
/// # Panics
/// When they do not all come to vote.
pub fn cluster_on(lan: &Lan, count: usize) -> Cluster {
    let mut cluster = Cluster::empty();
    let mut typed = Vec::new();
    for (i, machine) in lan.machines[..count].iter().enumerate() {
        let words: Vec<&str> = typed.iter().map(String::as_str).collect();
        let node = open(on(&cluster, machine, &format!("n{}", i + 1), &words));
        cluster.nodes.push(node);
        cluster.nodes[i].start(None);
        typed = printed_line(&cluster.nodes[i]);
    }
    cluster.wait_voters(count);
    cluster
}

/// Addresses in the list of members, in the order of their names.
///
/// # Panics
/// When the node does not answer.
pub fn addresses(node: &Node) -> Vec<String> {
    let list = node.admin("members").expect("a serving node answers");
    let mut members: Vec<(String, String)> = list["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|member| (member["name"].to_string(), member["address"].as_str().expect("text").to_owned()))
        .collect();
    members.sort();
    members.into_iter().map(|(_, address)| address).collect()
}
