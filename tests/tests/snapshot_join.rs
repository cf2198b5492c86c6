//! A blank server joins a cluster whose log no longer reaches back to the beginning, while writes go on.

use tests::bench::usage::resident_bytes;
use tests::cluster::Cluster;
use tests::history::{ENTRIES_PURGED, fill, lengthen_log};
use tests::legacy_client::Client;
use tests::load::Load;
use tests::wait_until;
use wire::codec::Codec;

/// Messages of the history, unless `SAMIRA_HISTORY` says otherwise.
const HISTORY: usize = 20_000;

/// Far above what a node needs, far below what the history takes.
const RESIDENT_MAX: u64 = 96 << 20;

#[test]
fn a_blank_server_joins_a_long_history_while_writes_go_on() {
    let history = std::env::var("SAMIRA_HISTORY").ok().and_then(|count| count.parse().ok()).unwrap_or(HISTORY);
    let mut cluster = Cluster::start(3);
    let mut scribe = Client::connect(cluster.nodes[cluster.leader()].address(), Codec::Samira1).unwrap();
    scribe.signup("scribe").unwrap();
    scribe.signup("reader").unwrap();
    fill(&mut scribe, history);
    lengthen_log(&cluster, &mut scribe, ENTRIES_PURGED);

    let mut load = Load::start(&cluster, 6);
    load.wait_for_more(100);
    let leader = cluster.leader();
    let before = cluster.nodes[leader].status().unwrap();
    cluster.add_node();
    cluster.wait_voters(4);
    load.wait_for_more(100);

    let after = cluster.nodes[leader].status().unwrap();
    assert_eq!(
        (after.role.as_str(), after.term),
        ("leader", before.term),
        "sending a snapshot cost the leader its office"
    );
    assert!(
        cluster.nodes.iter().any(|node| node.printed().contains("sending a snapshot")),
        "the newcomer was given the log instead"
    );
    for node in &cluster.nodes {
        let resident = resident_bytes(node.pid());
        assert!(resident < RESIDENT_MAX, "{} has {resident} bytes resident", node.name);
    }
    load.stop();
    cluster.settle();

    // The newcomer counts: with it alone beside one of the old ones missing, there is still a majority of four.
    let old = (0..3).find(|&place| place != leader).unwrap();
    cluster.nodes[old].kill();
    let newcomer = cluster.nodes[3].address();
    let mut reader = Client::logged_in(newcomer, Codec::Json, "reader").unwrap();
    let unread = reader.chats("reader").unwrap();
    assert_eq!(unread.len(), 1);
    assert_eq!(usize::try_from(unread[0].unread_count).unwrap(), history);
    cluster.nodes[old].start(None);
    wait_until("all four to be back", || cluster.running().filter_map(|node| node.status()).count() == 4);
    cluster.settle();
    cluster.stop();
    load.ledger.check(&cluster.nodes);
}
