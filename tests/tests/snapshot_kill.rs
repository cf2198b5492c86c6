//! A server that ends while it takes in a copy of the cluster's state: killed, stopped, out of space. It starts again and
//! goes on from there, whatever point that was.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;

use tests::cluster::{Cluster, Node};
use tests::disk::BadDisk;
use tests::history::{ENTRIES_PURGED, fill, lengthen_log};
use tests::legacy_client::Client;
use tests::load::Load;
use tests::wait_until;
use wire::codec::Codec;

/// Messages of the history: a copy of some megabytes, so that there are many points to be hit.
const HISTORY: usize = 20_000;

/// Points at which a joining server dies. What comes before is written while it makes its own empty databases.
const KILLS: [&str; 8] = [
    // While its pages are written into the database, and when they are made durable.
    "state.db-wal write 400 kill-before",
    "state.db-wal write 400 cut-after:7",
    "state.db-wal write 2000 tear",
    "state.db write 300 cut-before:3",
    // While the copy arrives, and when it is whole.
    "received.part write 3 kill-before",
    "received.part write 3 cut-after",
    "received.part flush 1 kill-before",
    "received.part flush 1 cut-after",
];

/// One server with a history that is longer than its log.
fn long_past() -> Cluster {
    let mut cluster = Cluster::empty();
    let founder = cluster.add_node();
    let mut scribe = Client::connect(founder.address(), Codec::Samira1).unwrap();
    scribe.signup("scribe").unwrap();
    scribe.signup("reader").unwrap();
    fill(&mut scribe, HISTORY);
    lengthen_log(&cluster, &mut scribe, ENTRIES_PURGED);
    cluster
}

/// A new server that has been invited and not started yet.
fn newcomer(cluster: &mut Cluster) -> (&Cluster, &Node, BadDisk, tests::cluster::Join) {
    let mut node = cluster.new_node(&format!("n{}", cluster.nodes.len() + 1));
    let disk = BadDisk::under(&mut node);
    // It dies before it can tell that it listens elsewhere.
    node.set_address(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let invitation = cluster.nodes[cluster.leader()].invite();
    cluster.nodes.push(node);
    (cluster, cluster.nodes.last().unwrap(), disk, invitation)
}

/// What stays of copies in a data directory.
fn leftovers(node: &Node) -> Vec<String> {
    let names = fs::read_dir(&node.dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("received") || name.starts_with("snapshot")).collect()
}

#[test]
fn a_server_that_dies_while_it_takes_in_a_snapshot_starts_again() {
    let mut cluster = long_past();
    let load = Load::start(&cluster, 4);
    for (number, point) in KILLS.iter().enumerate() {
        let (cluster, node, disk, invitation) = newcomer(&mut cluster);
        disk.set(point);
        drop(node.spawn(Some(&invitation)));
        node.wait_exit();
        assert_eq!(disk.struck().len(), 1, "{point} was not reached: {}", node.printed());
        disk.mend();
        node.start(None);
        cluster.wait_voters(number + 2);
        assert_eq!(leftovers(node), [""; 0], "after {point}");
    }
    load.wait_for_more(100);
    load.end(&cluster);
}

#[test]
fn a_server_that_is_stopped_while_it_takes_in_a_snapshot_starts_again() {
    let mut cluster = long_past();
    let load = Load::start(&cluster, 2);
    for (number, bytes) in [100_000, 1_000_000, 2_500_000].into_iter().enumerate() {
        let (cluster, node, _disk, invitation) = newcomer(&mut cluster);
        drop(node.spawn(Some(&invitation)));
        let wal = node.dir.join("state.db-wal");
        wait_until("the copy to be on its way into the database", || {
            fs::metadata(&wal).is_ok_and(|wal| wal.len() > bytes)
        });
        node.interrupt();
        node.start(None);
        cluster.wait_voters(number + 2);
        assert_eq!(leftovers(node), [""; 0]);
    }
    load.wait_for_more(100);
    load.end(&cluster);
}

#[test]
fn a_follower_that_was_away_for_longer_than_the_log_is_kept_may_die_while_it_catches_up() {
    let mut disks = Vec::new();
    let cluster = Cluster::start_prepared(3, |node| disks.push(BadDisk::under(node)));
    let mut scribe = Client::connect(cluster.nodes[cluster.leader()].address(), Codec::Samira1).unwrap();
    scribe.signup("scribe").unwrap();
    scribe.signup("reader").unwrap();
    let place = cluster.follower();
    let node = &cluster.nodes[place];
    // With entries of its own that are not in its state yet.
    lengthen_log(&cluster, &mut scribe, 500);
    node.kill();
    fill(&mut scribe, HISTORY);
    lengthen_log(&cluster, &mut scribe, 500 + ENTRIES_PURGED);
    let load = Load::start(&cluster, 2);
    for point in
        ["received.part write 3 kill-before", "state.db-wal write 400 cut-before", "state.db write 300 cut-before:3"]
    {
        disks[place].set(point);
        drop(node.spawn(None));
        node.wait_exit();
        assert_eq!(disks[place].struck().len(), 1, "{point} was not reached: {}", node.printed());
        disks[place].mend();
    }
    node.start(None);
    // It is ready before it has caught up: a voter that it was before, it may still be taking in one more copy.
    wait_until("the last copy to be taken in", || leftovers(node).is_empty());
    load.wait_for_more(100);
    load.end(&cluster);
}

#[test]
fn a_disk_that_is_full_while_a_snapshot_comes_delays_a_server_and_no_more() {
    let mut cluster = long_past();
    let load = Load::start(&cluster, 2);
    {
        let (cluster, node, disk, invitation) = newcomer(&mut cluster);
        // While it arrives: the server goes on, says what is missing, and is asked again.
        disk.set("received.part grow 2+ enospc");
        let ready = node.spawn(Some(&invitation));
        wait_until("it to say what is missing", || {
            let said = node.printed();
            said.contains("too full to take in a copy of the cluster's state: free") && said.contains("MiB more")
        });
        wait_until("it to say what it waits for", || {
            node.printed().lines().any(|line| line.starts_with("waiting: ") && line.contains("too full to take in"))
        });
        wait_until("the rest to be removed", || leftovers(node).is_empty());
        let attempts = || cluster.nodes[0].printed().matches("a snapshot was not taken").count();
        wait_until("it to be tried again", || attempts() >= 2);
        assert!(attempts() <= 4, "it is tried without pause");
        assert!(node.is_running());
        load.wait_for_more(20);
        disk.mend();
        node.wait_ready(&ready);
        cluster.wait_voters(2);
    }
    {
        let (cluster, node, disk, invitation) = newcomer(&mut cluster);
        // While it is taken in: the server ends, says so, and needs no second copy when there is space.
        disk.set("state.db-wal grow 800+ enospc");
        drop(node.spawn(Some(&invitation)));
        assert_eq!(node.wait_end(), 1);
        let said = node.printed();
        assert!(said.contains("the disk is full: free some space, then start this server again"), "{said}");
        let output = node.run_to_end(None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("MiB more"), "{said}");
        assert_eq!(leftovers(node), ["received.db"]);
        disk.mend();
        node.start(None);
        cluster.wait_voters(3);
        assert!(node.printed().contains("a copy of the state that had arrived is taken in"));
        assert_eq!(leftovers(node), [""; 0]);
    }
    load.wait_for_more(100);
    load.end(&cluster);
}

#[test]
fn a_deleted_text_is_in_no_file_once_the_log_has_gone_on() {
    let mut cluster = Cluster::empty();
    let founder = cluster.add_node();
    let mut scribe = Client::connect(founder.address(), Codec::Samira1).unwrap();
    scribe.signup("scribe").unwrap();
    scribe.signup("reader").unwrap();
    let chat = scribe.start_chat("scribe", "reader").unwrap();
    let secret = "a text that shall be gone";
    let places = |cluster: &Cluster| -> Vec<String> {
        let files = fs::read_dir(&cluster.nodes[0].dir).unwrap().map(|file| file.unwrap().path());
        let holds = |path: &std::path::PathBuf| {
            fs::read(path).is_ok_and(|bytes| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
        };
        files.filter(holds).map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    // The second is too long for one page of the database.
    for text in [secret.to_owned(), secret.repeat(60)] {
        let mut client = Client::logged_in(cluster.nodes[0].address(), Codec::Json, "scribe").unwrap();
        client.send(&chat, "scribe", &text).unwrap();
        let shown = client.messages(&chat, "scribe").unwrap();
        assert_eq!(shown.last().unwrap().content, text);
        assert!(!places(&cluster).is_empty());
        client.delete_messages(&chat, "scribe", &[i64::try_from(shown.len()).unwrap() - 1]).unwrap();
    }
    wait_until("it to be gone from the state", || !places(&cluster).iter().any(|name| name.starts_with("state.db")));
    lengthen_log(&cluster, &mut scribe, ENTRIES_PURGED);
    wait_until("it to be gone from everywhere", || places(&cluster).is_empty());
    cluster.stop();
    assert_eq!(places(&cluster), [""; 0]);
}
