//! A leader that stands still just when a follower wants a copy of the state from it: when it goes on, others lead already,
//! and it follows them. It does not end.

use std::thread;
use std::time::Duration;

use tests::cluster::Cluster;
use tests::load::Load;
use tests::{now, wait_until};

/// So short that a follower has missed more than the log keeps within a second.
const LOG_ENTRIES: &str = "128,256";

/// How often it is tried. Without the wait for openraft's core the first round ended the leader.
const ROUNDS: u32 = 6;

/// Longer than a follower waits for its leader, so that another one leads by then.
const STANDSTILL: Duration = Duration::from_millis(1200);

/// More messages than the log keeps.
const MISSED: usize = 400;

#[test]
fn a_leader_that_stood_still_while_a_copy_was_wanted_follows_the_next_one() {
    let cluster =
        Cluster::start_prepared(3, |node| node.env.push(("SAMIRA_TEST_LOG_ENTRIES".into(), LOG_ENTRIES.into())));
    let load = Load::start(&cluster, 24);
    for round in 0..ROUNDS {
        load.wait_for_more(50);
        let leader = cluster.leader();
        let follower = &cluster.nodes[cluster.follower()];
        follower.freeze();
        let since = now();
        load.wait_for_more(MISSED);
        wait_until("the follower to be behind", || since.elapsed() > STANDSTILL);
        follower.thaw();
        // It asks within a few milliseconds; when exactly it is hit makes the difference.
        thread::park_timeout(Duration::from_millis(u64::from(round % 3) * 10));
        let leader = &cluster.nodes[leader];
        leader.freeze();
        let since = now();
        let others = || cluster.nodes.iter().filter(|node| !std::ptr::eq(*node, leader));
        wait_until("another leader", || {
            others().any(|node| node.status().is_some_and(|status| status.role == "leader"))
        });
        wait_until("the leader to be behind", || since.elapsed() > STANDSTILL);
        leader.thaw();
        cluster.wait_voters(3);
        assert!(leader.status().is_some(), "round {round}: {}", leader.printed());
    }
    load.end(&cluster);
}
