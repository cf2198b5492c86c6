//! Links between nodes that lead nowhere, in both directions or in one; all processes and clients go on.

use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::load::Load;
use tests::proxy::{self, Network};
use tests::{now, wait_until};

/// Cuts all ways from (`mute`) or to (`deaf`) one node.
fn cut(cluster: &Cluster, network: &Network, node: usize, deaf: bool, mute: bool) {
    let address = |node: usize| cluster.nodes[node].address();
    for other in (0..cluster.nodes.len()).filter(|other| *other != node) {
        if deaf {
            network.cut(address(other), address(node));
        }
        if mute {
            network.cut(address(node), address(other));
        }
    }
}

#[test]
fn experiment() {
    let (cluster, network) = proxy::start(3);
    let mut load = Load::start(&cluster, 6);
    load.wait_for_more(100);
    for (deaf, mute) in [(true, true), (false, true), (true, false)] {
        let old = cluster.leader();
        let began = now();
        cut(&cluster, &network, old, deaf, mute);
        let mut told: Option<Instant> = None;
        while began.elapsed() < Duration::from_secs(8) {
            let statuses: Vec<_> = cluster.nodes.iter().map(|n| n.status().map(|s| (s.role, s.term, s.leader))).collect();
            if told.is_none_or(|told| told.elapsed() > Duration::from_millis(300)) {
                eprintln!("{:?} old {old} {statuses:?} {}", began.elapsed(), load.ledger.stored_at().len());
                told = Some(now());
            }
        }
        network.heal();
        cluster.wait_voters(3);
        load.wait_for_more(100);
    }
    load.stop();
    cluster.settle();
    cluster.stop();
    load.ledger.check(&cluster.nodes);
    wait_until("x", || true);
}
