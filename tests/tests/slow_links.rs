//! Lines between nodes that are long, slow or lossy: writes go through, nobody is elected for it, and whoever was away
//! catches up.

use std::time::{Duration, Instant};

use tests::chat_client::Client;
use tests::cluster::Cluster;
use tests::proxy::{self, Network};
use tests::switch::Shape;
use tests::{now, wait_until};
use wire::chat::request::Send;
use wire::chat::{Reply, Request};
use wire::codec::Codec;

/// The longest message there is.
const LONG: usize = wire::limits::MESSAGE_TEXT_BYTES_MAX;

/// A connection to the leader, logged in, and a conversation.
fn at_the_leader(cluster: &Cluster) -> (Client, u64) {
    let address = cluster.nodes[cluster.leader()].address();
    let mut client = Client::logged_in(address, Codec::Samira2, "ann").expect("the leader serves");
    Client::logged_in(address, Codec::Samira2, "bob").expect("the leader makes accounts");
    let conversation = client.open("bob").expect("the leader stores");
    (client, conversation)
}

/// Sends `count` messages of `bytes` together and waits until all are stored; how long that took.
fn send(client: &mut Client, conversation: u64, count: usize, bytes: usize) -> Duration {
    let text = "x".repeat(bytes);
    let begin = now();
    let asked: Vec<u64> = (0..count)
        .map(|_| {
            let seq = client.take_seq();
            let send = Send { conversation, text: &text, seq, ..Send::default() };
            client.send(Request::Send(send)).expect("the node takes it")
        })
        .collect();
    for id in asked {
        let stored =
            client.answer(id, |reply| Ok(matches!(reply, Reply::Sent(_)).then_some(()).ok_or(format!("{reply:?}"))));
        stored.expect("the node answers").expect("it is stored");
    }
    now() - begin
}

fn terms(cluster: &Cluster) -> Vec<u64> {
    cluster.running().filter_map(|node| node.status()).map(|status| status.term).collect()
}

/// Kills a node whose peers come through a door.
fn kill(cluster: &Cluster, network: &Network, node: usize) {
    network.close(cluster.nodes[node].address());
    cluster.nodes[node].kill();
}

fn restart(cluster: &Cluster, network: &Network, node: usize) {
    network.open(cluster.nodes[node].address());
    cluster.nodes[node].start(None);
}

fn applied(cluster: &Cluster, node: usize) -> Option<u64> {
    cluster.nodes[node].status().and_then(|status| status.applied)
}

/// Waits until a node has applied what another has now; how long that took.
fn catches_up(cluster: &Cluster, behind: usize, ahead: usize) -> Duration {
    let begin: Instant = now();
    let goal = applied(cluster, ahead);
    wait_until("the follower to catch up", || applied(cluster, behind) >= goal);
    now() - begin
}

/// Writes at this round trip, again after the leader's death, and takes the third back.
fn works_at(round_trip: Duration) {
    let (cluster, network) = proxy::start(3);
    let (mut client, conversation) = at_the_leader(&cluster);
    network.shape(Shape::round_trip(round_trip));
    let before = terms(&cluster);
    for _ in 0..3 {
        let took = send(&mut client, conversation, 1, 100);
        assert!(took <= 4 * round_trip + Duration::from_millis(500), "a write took {took:?} at {round_trip:?}");
    }
    assert_eq!(terms(&cluster), before, "nobody was elected for the length of a line");
    let leader = cluster.leader();
    kill(&cluster, &network, leader);
    let (mut client, conversation) = at_the_leader(&cluster);
    send(&mut client, conversation, 1, 100);
    restart(&cluster, &network, leader);
    cluster.wait_voters(3);
    send(&mut client, conversation, 1, 100);
    cluster.settle();
    network.shape(Shape::default());
    cluster.stop();
}

#[test]
fn writes_go_through_at_a_round_trip_of_120_ms() {
    works_at(Duration::from_millis(120));
}

#[test]
fn writes_go_through_at_a_round_trip_of_300_ms() {
    works_at(Duration::from_millis(300));
}

#[test]
fn writes_go_through_at_a_round_trip_of_a_second() {
    works_at(Duration::from_secs(1));
}

#[test]
fn long_messages_do_not_stop_replication_at_20_megabits() {
    let (cluster, network) = proxy::start(3);
    let (mut client, conversation) = at_the_leader(&cluster);
    network.shape(Shape::round_trip(Duration::from_millis(2)).with_rate(20));
    let before = terms(&cluster);
    let took = send(&mut client, conversation, 16, LONG);
    // Two copies of a megabyte over one line of 20 Mbit/s take 0.84 s.
    assert!(took < Duration::from_secs(5), "{took:?}");
    cluster.settle();
    assert_eq!(terms(&cluster), before, "nobody was elected for the width of a line");
    cluster.stop();
}

#[test]
fn whoever_missed_4_megabytes_at_100_megabits_catches_up_and_carries_on_when_the_leader_dies() {
    let (cluster, network) = proxy::start(3);
    let (mut client, conversation) = at_the_leader(&cluster);
    let (leader, away) = (cluster.leader(), cluster.follower());
    kill(&cluster, &network, away);
    for _ in 0..4 {
        send(&mut client, conversation, 16, LONG);
    }
    network.shape(Shape::round_trip(Duration::from_millis(2)).with_rate(100));
    restart(&cluster, &network, away);
    let took = catches_up(&cluster, away, leader);
    assert!(took < Duration::from_secs(5), "{took:?}");
    kill(&cluster, &network, leader);
    let (mut client, conversation) = at_the_leader(&cluster);
    send(&mut client, conversation, 1, 100);
    restart(&cluster, &network, leader);
    cluster.settle();
    cluster.stop();
}

#[test]
fn a_megabit_at_300_ms_still_writes_and_catches_up_without_an_election() {
    let (cluster, network) = proxy::start(3);
    let (mut client, conversation) = at_the_leader(&cluster);
    let (leader, away) = (cluster.leader(), cluster.follower());
    let before = terms(&cluster)[0];
    kill(&cluster, &network, away);
    send(&mut client, conversation, 8, LONG);
    network.shape(Shape::round_trip(Duration::from_millis(300)).with_rate(1));
    restart(&cluster, &network, away);
    // While it is sent half a megabyte.
    let took = send(&mut client, conversation, 1, 100);
    assert!(took < Duration::from_secs(5), "{took:?}");
    let took = catches_up(&cluster, away, leader);
    // Half a megabyte takes 4.2 s.
    assert!(took < Duration::from_secs(20), "{took:?}");
    let took = send(&mut client, conversation, 2, LONG);
    assert!(took < Duration::from_secs(10), "{took:?}");
    cluster.settle();
    assert!(terms(&cluster).into_iter().all(|term| term == before), "nobody was elected: {:?}", terms(&cluster));
    cluster.stop();
}
