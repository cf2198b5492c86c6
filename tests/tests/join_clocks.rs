//! Join codes between servers whose clocks differ, and what an operator hears of that.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use serde_json::json;
use tests::clock::WrongClock;
use tests::cluster::{Cluster, Join, Node, bare_command, run_to_end};
use tests::wait_until;

const HOUR: i64 = 60 * 60;

/// A code for so many seconds.
fn code(on: &Node, valid_s: u64) -> Join {
    let answer = on.ask(&json!({ "command": "join-code", "valid_s": valid_s })).unwrap();
    Join { peer: on.address().to_string(), code: answer["code"].as_str().unwrap().into() }
}

#[test]
fn a_join_code_lives_as_long_as_it_says_whatever_the_clocks_say() {
    let mut clocks = Vec::new();
    let mut cluster = Cluster::start_prepared(2, |node| clocks.push(WrongClock::under(node)));
    let follower = cluster.follower();
    for (i, ahead) in [HOUR, -HOUR].into_iter().enumerate() {
        clocks[follower].move_by(ahead);
        // Made where the clock is wrong: one that is used in time, and one that is not.
        let good = code(&cluster.nodes[follower], 60);
        let short = code(&cluster.nodes[follower], 1);
        let made = tests::now();
        let fresh = cluster.new_node(&format!("fresh{i}"));
        fresh.start(Some(&good));
        cluster.nodes.push(fresh);
        cluster.wait_voters(3 + i);
        wait_until("the short code's time to be over", || made.elapsed() > Duration::from_millis(1500));
        let said = cluster.new_node(&format!("late{i}")).refused(&short);
        assert!(said.contains("has expired"), "{said}");
    }
    cluster.stop();
}

#[test]
fn clocks_that_differ_are_named_in_the_status_and_once_in_the_log() {
    let mut clocks = Vec::new();
    let cluster = Cluster::start_prepared(2, |node| clocks.push(WrongClock::under(node)));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    clocks[follower].move_by(-HOUR);
    let status = || {
        let output = run_to_end(bare_command().args(["status", "--data-dir"]).arg(&cluster.nodes[leader].dir));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait_until("the status to name the clock", || {
        let text = status();
        let seconds = text.split_once("its clock is ").and_then(|(_, rest)| rest.split_once(" s behind"));
        // To the second, with what the machine was held up by.
        seconds.is_some_and(|(seconds, _)| (3590..3610).contains(&seconds.parse::<i64>().unwrap()))
    });
    wait_until("it to be looked at again", || status().contains("s behind"));
    let told = cluster.nodes[leader].printed().matches("the clocks of this server and of a peer differ").count();
    assert_eq!(told, 1, "{}", cluster.nodes[leader].printed());
    clocks[follower].move_by(0);
    wait_until("the clock to be right again", || !status().contains("s behind"));
    cluster.stop();
}
