//! Clocks that are wrong: a board without a battery begins in 1970, a clock is set while the node runs.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use tests::clock::{WrongClock, true_time};
use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::wait_until;
use wire::codec::Codec;

/// A day, in seconds.
const DAY: i64 = 24 * 60 * 60;

fn with_clocks(count: usize) -> (Cluster, Vec<WrongClock>) {
    let mut clocks = Vec::new();
    let cluster = Cluster::start_prepared(count, |node| clocks.push(WrongClock::under(node)));
    (cluster, clocks)
}

fn client(node: &Node, name: &str) -> Client {
    let mut client = Client::connect(node.address(), Codec::Json).unwrap();
    wait_until(&format!("an account by way of {}", node.name), || client.signup(name).is_ok());
    client.login(name).unwrap();
    client
}

/// Each node takes a write, and says nothing that would make anybody throw its data away.
fn all_serve(cluster: &Cluster, name: &str) {
    for node in &cluster.nodes {
        client(node, &format!("{name}{}", node.name));
        let printed = node.printed();
        assert!(!printed.contains("damaged") && !printed.contains("do not start"), "{printed}");
    }
    cluster.settle();
}

#[test]
fn a_cluster_whose_clocks_all_begin_in_1970_starts_again_and_names_the_clock() {
    let (cluster, clocks) = with_clocks(3);
    all_serve(&cluster, "before");
    let mut ann = client(&cluster.nodes[0], "ann");
    let chat = ann.start_chat("ann", "ann").unwrap();
    ann.send(&chat, "ann", "in its time").unwrap();
    cluster.stop();
    clocks.iter().for_each(WrongClock::begin_in_1970);
    cluster.start_together(&[0, 1, 2]);
    cluster.wait_voters(3);
    all_serve(&cluster, "since");
    // Whoever leads now knows no better than 1970, and dates messages on from what the log tells.
    let mut ann = Client::logged_in(cluster.nodes[0].address(), Codec::Json, "ann").unwrap();
    ann.send(&chat, "ann", "in 1970").unwrap();
    let shown = ann.messages(&chat, "ann").unwrap();
    let times: Vec<&str> = shown.iter().map(|message| message.timestamp.as_str()).collect();
    assert!(times.len() == 2 && times.is_sorted() && times[1] > "2000", "{times:?}");
    for node in &cluster.nodes {
        assert!(node.printed().contains("this machine's clock says 1970-01-01"), "{}", node.printed());
        let status = node.admin("status").unwrap();
        assert!(status["warnings"].to_string().contains("1970"), "{status}");
    }
    // The clocks are set right under the running nodes.
    clocks.iter().for_each(|clock| clock.move_by(0));
    all_serve(&cluster, "after");
    assert!(!cluster.nodes[0].admin("status").unwrap()["warnings"].to_string().contains("clock says"));
    cluster.stop();
}

#[test]
fn a_cluster_is_founded_and_joined_in_1970() {
    let mut clocks = Vec::new();
    let cluster = Cluster::start_prepared(2, |node| {
        let clock = WrongClock::under(node);
        clock.begin_in_1970();
        clocks.push(clock);
    });
    all_serve(&cluster, "then");
    clocks.iter().for_each(|clock| clock.move_by(0));
    cluster.stop();
    cluster.start_together(&[0, 1]);
    all_serve(&cluster, "now");
    cluster.stop();
}

#[test]
fn one_of_three_that_begins_in_1970_takes_part() {
    let (cluster, clocks) = with_clocks(3);
    for place in [cluster.follower(), cluster.leader()] {
        cluster.nodes[place].stop();
        clocks[place].begin_in_1970();
        cluster.nodes[place].start(None);
        cluster.wait_voters(3);
        all_serve(&cluster, &format!("with{place}"));
    }
    cluster.stop();
}

#[test]
fn a_clock_that_jumps_under_a_running_node_stops_nothing() {
    let (cluster, clocks) = with_clocks(3);
    all_serve(&cluster, "first");
    let term = cluster.nodes[0].status().unwrap().term;
    let century = 36_525 * DAY;
    for (i, jump) in
        [DAY, -DAY, century, -century / 4, -i64::try_from(true_time().as_secs()).unwrap()].into_iter().enumerate()
    {
        for (j, clock) in clocks.iter().enumerate() {
            clock.move_by(jump);
            all_serve(&cluster, &format!("jump{i}by{j}on"));
        }
        clocks.iter().for_each(|clock| clock.move_by(0));
    }
    cluster.settle();
    assert_eq!(cluster.nodes[0].status().unwrap().term, term, "a clock of the day moved an election");
    // Links are made anew with any clock as well.
    clocks[0].move_by(century);
    clocks[1].begin_in_1970();
    cluster.stop();
    cluster.start_together(&[0, 1, 2]);
    all_serve(&cluster, "last");
    cluster.stop();
}
