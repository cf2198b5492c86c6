//! Stopping, killing and starting a whole cluster, and what a minority does.

use tests::cluster::Cluster;
use tests::legacy_client::{CallError, Client};
use tests::load::Load;
use tests::wait_until;
use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{Chat, ChatsReply};

/// Starts all nodes at once, as when the power is back.
fn start_all(cluster: &Cluster) {
    cluster.start_together(&(0..cluster.nodes.len()).collect::<Vec<_>>());
    cluster.wait_voters(cluster.nodes.len());
}

#[test]
fn a_cluster_that_lost_its_power_under_load_has_everything_it_promised() {
    let cluster = Cluster::start(3);
    let load = Load::start(&cluster, 4);
    for _ in 0..2 {
        load.wait_for_more(200);
        cluster.kill_together(&[0, 1, 2]);
        start_all(&cluster);
    }
    load.wait_for_more(200);
    load.end(&cluster);
}

#[test]
fn a_clean_restart_changes_nothing() {
    let cluster = Cluster::start(3);
    let mut client = Client::connect(cluster.nodes[0].address(), Codec::Json).unwrap();
    client.signup("ann").unwrap();
    client.signup("bob").unwrap();
    client.login("ann").unwrap();
    let chat = client.start_chat("ann", "bob").unwrap();
    client.send(&chat, "ann", "still there?").unwrap();
    cluster.stop();
    start_all(&cluster);
    for node in &cluster.nodes {
        let mut client = Client::logged_in(node.address(), Codec::Samira1, "bob").unwrap();
        assert_eq!(client.chats("bob").unwrap()[0].unread_count, 1);
    }
    cluster.stop();
}

#[test]
fn a_known_node_starts_with_or_without_its_peers_named() {
    let mut cluster = Cluster::start(1);
    let join = cluster.nodes[0].invite();
    let node = cluster.new_node("n2");
    node.start(Some(&join));
    cluster.nodes.push(node);
    cluster.wait_voters(2);
    let id = cluster.nodes[1].admin("status").unwrap()["node_id"].clone();
    for again in [Some(&join), None, Some(&join)] {
        cluster.nodes[1].stop();
        // The code was used up by the first start; a member does not need it.
        cluster.nodes[1].start(again);
        cluster.wait_voters(2);
        assert_eq!(cluster.nodes[1].admin("status").unwrap()["node_id"], id);
    }
    cluster.stop();
}

#[test]
fn a_minority_shows_what_it_has_refuses_writes_and_says_what_is_missing() {
    let cluster = Cluster::start(3);
    let mut client = Client::connect(cluster.nodes[0].address(), Codec::Json).unwrap();
    client.signup("ann").unwrap();
    client.signup("bob").unwrap();
    client.login("ann").unwrap();
    let chat = client.start_chat("ann", "bob").unwrap();
    client.send(&chat, "ann", "before").unwrap();
    cluster.settle();
    cluster.stop();

    let alone = &cluster.nodes[1];
    alone.start(None);
    wait_until("it to say what it waits for", || {
        let printed = alone.printed();
        let mut waiting = printed.lines().filter(|line| line.starts_with("waiting: 1 of 3 servers can be reached, 2"));
        waiting.any(|line| line.contains("n1 (127.0.0.1:") && line.contains("n3 (127.0.0.1:"))
    });
    let mut client = Client::logged_in(alone.address(), Codec::Json, "bob").unwrap();
    let reply: ChatsReply<Vec<Chat<String>>, String> =
        client.call_raw(&Request::GetChats { user_id: "bob".into() }).unwrap();
    assert!(reply.stale && reply.success);
    assert_eq!(reply.chats[0].unread_count, 1);
    assert_eq!(client.messages(&chat, "bob").unwrap().len(), 1);
    assert_eq!(client.chats("bob").unwrap()[0].unread_count, 1, "a stale read marks nothing");
    match client.send(&chat, "bob", "into the void") {
        Err(CallError::Refused(text)) => assert!(text.contains("stored"), "{text}"),
        other => panic!("a minority answered a write with {other:?}"),
    }
    let status = alone.status().unwrap();
    assert_ne!(status.role, "leader");
    assert_eq!(status.leader, None);

    // With a majority it goes on, for the same client on the same connection.
    cluster.nodes[2].start(None);
    wait_until("a leader", || alone.status().is_some_and(|status| status.leader.is_some()));
    wait_until("writes to be taken again", || client.send(&chat, "bob", "hello again").is_ok());
    cluster.nodes[0].start(None);
    cluster.wait_voters(3);
    cluster.settle();
    cluster.stop();
}

#[test]
fn writes_are_held_while_the_leader_changes() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let follower = cluster.follower();
    let mut client = Client::connect(cluster.nodes[follower].address(), Codec::Samira1).unwrap();
    client.signup("ann").unwrap();
    client.login("ann").unwrap();
    let chat = client.start_chat("ann", "ann").unwrap();
    cluster.nodes[leader].kill();
    client.send(&chat, "ann", "held, then stored").unwrap();
    assert_eq!(client.messages(&chat, "ann").unwrap().len(), 1);
}
