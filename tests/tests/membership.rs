//! Who comes in, by which door, and who stays outside.

use tests::cluster::{Cluster, Join};
use tests::legacy_client::Client;
use tests::load::Load;
use tests::proxy::free_address;
use tests::wait_until;
use wire::codec::Codec;

#[test]
fn a_code_lets_one_server_in_and_no_second() {
    let mut cluster = Cluster::start(1);
    let join = cluster.nodes[0].invite();
    let second = cluster.new_node("n2");
    second.start(Some(&join));
    cluster.nodes.push(second);
    cluster.wait_voters(2);
    let said = cluster.new_node("n3").refused(&join);
    assert!(said.contains("used by another server") && said.contains("join-code"), "{said}");
    cluster.stop();
}

#[test]
fn codes_that_were_never_given_out_are_refused_with_the_remedy() {
    let (cluster, stranger) = (Cluster::start(1), Cluster::start(1));
    let good = cluster.nodes[0].invite();
    let (pin, secret) = good.code.split_once('-').unwrap();

    // Right cluster, wrong secret: as a code would look whose time is over and that was swept away.
    let other: String = secret.chars().map(|c| if c == 'a' { 'b' } else { 'a' }).collect();
    let unknown = Join { peer: good.peer.clone(), code: format!("{pin}-{other}") };
    let said = cluster.new_node("x1").refused(&unknown);
    assert!(said.contains("does not know this join code") && said.contains("node join-code"), "{said}");

    // A code of another cluster: its pin does not fit, and the secret is not told to whoever answers.
    let foreign = Join { peer: good.peer.clone(), code: stranger.nodes[0].invite().code };
    cluster.new_node("x2").refused(&foreign);

    // No code at all.
    let mut node = cluster.new_node("x3");
    node.args = ["--peers".into(), good.peer.clone()].into();
    let output = node.run_to_end(None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--join-code"), "{said}");

    // The good one is still good.
    let mut cluster = cluster;
    let node = cluster.new_node("n2");
    node.start(Some(&good));
    cluster.nodes.push(node);
    cluster.wait_voters(2);
    cluster.stop();
    stranger.stop();
}

#[test]
fn a_newcomer_waits_for_a_peer_that_is_away_and_joins_when_it_comes() {
    let mut cluster = Cluster::start(1);
    let join = cluster.nodes[0].invite();
    cluster.nodes[0].stop();
    let newcomer = cluster.new_node("n2");
    let ready = newcomer.spawn(Some(&join));
    cluster.nodes.push(newcomer);
    wait_until("the newcomer to say what it waits for", || {
        let printed = cluster.nodes[1].printed();
        printed.contains("waiting for a server to join through") && printed.contains(&join.peer)
    });
    cluster.nodes[0].start(None);
    cluster.nodes[1].wait_ready(&ready);
    cluster.wait_voters(2);
    cluster.stop();
}

#[test]
fn a_newcomer_that_asks_another_newcomer_is_told_to_ask_a_member() {
    let mut cluster = Cluster::start(1);
    let join = cluster.nodes[0].invite();
    let member = cluster.nodes[0].address();
    cluster.nodes[0].stop();
    let mut newcomer = cluster.new_node("n2");
    // It asks the member, whose port nobody has now, and itself.
    newcomer.set_address(free_address());
    let peer = format!("{member},{}", newcomer.address());
    let ready = newcomer.spawn(Some(&Join { peer, code: join.code }));
    cluster.nodes.push(newcomer);
    let says = |words: &str| {
        wait_until(&format!("the newcomer to say `{words}`"), || cluster.nodes[1].printed().contains(words));
    };
    says("the server there is no member of a cluster itself yet; give the address of one that is");
    says("no answer over UDP; see whether a server runs there, and whether a firewall lets UDP through");
    cluster.nodes[0].start(None);
    cluster.nodes[1].wait_ready(&ready);
    cluster.wait_voters(2);
    cluster.stop();
}

#[test]
fn servers_join_under_load_through_a_follower_and_after_the_founder_died() {
    let mut cluster = Cluster::start(3);
    let load = Load::start(&cluster, 4);
    load.wait_for_more(100);

    let follower = cluster.follower();
    let fourth = cluster.new_node("n4");
    fourth.start(Some(&cluster.nodes[follower].invite()));
    cluster.nodes.push(fourth);
    cluster.wait_voters(4);

    cluster.nodes[0].kill();
    load.wait_for_more(100);
    let fifth = cluster.new_node("n5");
    fifth.start(Some(&cluster.nodes[1].invite()));
    cluster.nodes.push(fifth);
    cluster.wait_voters(5);

    // Five voters lose a second one at the same moment, and go on.
    cluster.nodes[1].kill();
    load.wait_for_more(100);
    let mut late = Client::connect(cluster.nodes[4].address(), Codec::Samira1).unwrap();
    late.signup("late").unwrap();

    cluster.nodes[0].start(None);
    cluster.nodes[1].start(None);
    cluster.wait_voters(5);
    load.end(&cluster);
}
