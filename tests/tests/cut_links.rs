//! Links between nodes that lead nowhere, in both directions or in one, while all processes and their clients go on.

use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::load::Load;
use tests::proxy::{self, Network};
use tests::wait_until;
use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{Chat, ChatsReply};

/// Cuts the ways to (`deaf`) and from (`mute`) one node.
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

fn leads(node: &Node) -> bool {
    node.status().is_some_and(|status| status.role == "leader")
}

/// The leader loses its links like this under load: another takes over, and after healing there is one history.
fn replaced(deaf: bool, mute: bool) {
    let (cluster, network) = proxy::start(3);
    let load = Load::start(&cluster, 6);
    load.wait_for_more(100);
    let old = cluster.leader();
    cut(&cluster, &network, old, deaf, mute);
    wait_until("the others to elect a leader", || {
        cluster.nodes.iter().enumerate().any(|(i, node)| i != old && leads(node))
    });
    load.wait_for_more(100);
    network.heal();
    cluster.wait_voters(3);
    load.wait_for_more(100);
    load.end(&cluster);
}

#[test]
fn a_leader_that_is_cut_off_is_replaced() {
    replaced(true, true);
}

#[test]
fn a_leader_that_is_not_heard_is_replaced() {
    replaced(false, true);
}

#[test]
fn a_leader_that_hears_nobody_is_replaced() {
    replaced(true, false);
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing_and_marks_what_it_shows() {
    let (cluster, network) = proxy::start(3);
    let old = cluster.leader();
    let mut client = Client::connect(cluster.nodes[old].address(), Codec::Json).unwrap();
    client.signup("ann").unwrap();
    client.signup("bob").unwrap();
    client.login("ann").unwrap();
    let chat = client.start_chat("ann", "bob").unwrap();
    client.send(&chat, "ann", "before").unwrap();
    let mut bob = Client::logged_in(cluster.nodes[old].address(), Codec::Samira1, "bob").unwrap();
    cut(&cluster, &network, old, true, true);
    let reply: ChatsReply<Vec<Chat<String>>, String> =
        bob.call_raw(&Request::GetChats { user_id: "bob".into() }).unwrap();
    assert!(reply.stale && reply.chats[0].unread_count == 1, "{reply:?}");
    client.send(&chat, "ann", "into the void").expect_err("nobody else can have stored it");
    let other = &cluster.nodes[(old + 1) % 3];
    wait_until("the others to elect a leader", || {
        cluster.nodes.iter().enumerate().any(|(i, node)| i != old && leads(node))
    });
    let mut there = Client::logged_in(other.address(), Codec::Samira1, "ann").unwrap();
    there.send(&chat, "ann", "meanwhile").unwrap();
    network.heal();
    cluster.wait_voters(3);
    let shown = bob.messages(&chat, "bob").unwrap();
    let texts: Vec<_> = shown.iter().map(|message| message.content.as_str()).collect();
    assert!(texts.starts_with(&["before", "meanwhile"]), "{texts:?}");
    cluster.settle();
    cluster.stop();
}

#[test]
fn a_follower_that_hears_nobody_comes_back_without_an_election() {
    let (cluster, network) = proxy::start(3);
    let load = Load::start(&cluster, 6);
    load.wait_for_more(50);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let term = || cluster.nodes[leader].status().map(|status| status.term);
    let before = term();
    let mut client = Client::logged_in(cluster.nodes[follower].address(), Codec::Json, "client0").unwrap();
    cut(&cluster, &network, follower, true, false);
    // It takes some seconds without a quorum to say so: many times the patience after which nodes stand for election.
    let reply: ChatsReply<Vec<Chat<String>>, String> =
        client.call_raw(&Request::GetChats { user_id: "client0".into() }).unwrap();
    assert!(reply.stale, "{reply:?}");
    load.wait_for_more(100);
    network.heal();
    cluster.wait_voters(3);
    load.wait_for_more(50);
    assert_eq!((cluster.leader(), term()), (leader, before), "nobody was deposed");
    load.end(&cluster);
}
