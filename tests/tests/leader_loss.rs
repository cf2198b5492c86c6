//! The leader dies or hangs while clients send. Nothing they were told may turn out wrong.

use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::load::Load;
use tests::oracle::Ledger;
use tests::{now, wait_until};

/// Longest time without any acknowledgement that passes here. The aim is below one second; a loaded test machine with an
/// unoptimised build gets the rest.
const INTERRUPTION_MAX: Duration = Duration::from_secs(8);

/// How often the leader is killed, unless `SAMIRA_KILLS` says otherwise.
const KILLS: usize = 3;

/// The longest time without an acknowledgement that began or ended after `fault`.
fn interruption(ledger: &Ledger, fault: Instant) -> Duration {
    let times = ledger.stored_at();
    let after = times.partition_point(|&time| time < fault);
    let window = &times[after.saturating_sub(1)..];
    window.windows(2).map(|pair| pair[1] - pair[0]).max().expect("messages were acknowledged after the fault")
}

fn report(what: &str, gaps: &mut [Duration]) {
    gaps.sort();
    eprintln!("{what}: interruption of writes {gaps:?}, median {:?}", gaps[gaps.len() / 2]);
    assert!(gaps.iter().all(|&gap| gap < INTERRUPTION_MAX), "too long");
}

#[test]
fn killing_the_leader_loses_doubles_and_reorders_nothing() {
    let kills = std::env::var("SAMIRA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let cluster = Cluster::start(3);
    let mut load = Load::start(&cluster, 6);
    let mut gaps = Vec::new();
    for _ in 0..kills {
        load.wait_for_more(100);
        let leader = cluster.leader();
        let killed = now();
        cluster.nodes[leader].kill();
        load.wait_for_more(100);
        gaps.push(interruption(&load.ledger, killed));
        cluster.nodes[leader].start(None);
        cluster.wait_voters(3);
    }
    load.stop();
    cluster.settle();
    cluster.stop();
    load.ledger.check(&cluster.nodes);
    report("kill -9 of the leader", &mut gaps);
}

#[test]
fn a_leader_that_hangs_is_replaced_and_cannot_lie_when_it_wakes() {
    let cluster = Cluster::start(3);
    let mut load = Load::start(&cluster, 6);
    load.wait_for_more(100);
    let old = cluster.leader();
    let frozen = now();
    cluster.nodes[old].freeze();
    wait_until("the others to elect a leader", || {
        let mut others = cluster.nodes.iter().enumerate().filter(|(i, _)| *i != old);
        others.any(|(_, node)| node.status().is_some_and(|status| status.role == "leader"))
    });
    load.wait_for_more(100);
    let mut gaps = [interruption(&load.ledger, frozen)];
    cluster.nodes[old].thaw();
    cluster.wait_voters(3);
    load.wait_for_more(100);
    load.stop();
    cluster.settle();
    cluster.stop();
    load.ledger.check(&cluster.nodes);
    report("a frozen leader", &mut gaps);
}

#[test]
fn a_killed_follower_catches_up_under_load() {
    let cluster = Cluster::start(3);
    let mut load = Load::start(&cluster, 6);
    load.wait_for_more(100);
    let follower = cluster.follower();
    cluster.nodes[follower].kill();
    load.wait_for_more(500);
    cluster.nodes[follower].start(None);
    cluster.wait_voters(3);
    load.wait_for_more(100);
    load.stop();
    cluster.settle();
    cluster.stop();
    load.ledger.check(&cluster.nodes);
}
