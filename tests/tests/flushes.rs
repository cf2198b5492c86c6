//! Nodes that die beside their flushes, alone and all together, and power that fails: what was acknowledged is on disk.
//!
//! A killed process loses nothing that it has written. So half of the deaths here are power cuts, which take everything that
//! was not flushed (see the crate `diskfaults`).

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use tests::cluster::{Cluster, Node, built_library};
use tests::disk::{BadDisk, cluster_on_bad_disks};
use tests::load::Load;
use tests::wait_until;

/// What happens at the flush or write that a rule names.
const DEATHS: [&str; 5] = [
    "log.db-wal flush N kill-before",
    "log.db-wal flush N kill-after",
    "log.db-wal flush N cut-before",
    "log.db-wal flush N cut-after",
    "log.db-wal write N tear",
];

/// Flushes of a start that are died at; a start makes fewer.
const START_FLUSHES_MAX: usize = 20;

/// Sets a deadly rule and waits until it has come to that.
fn die(cluster: &Cluster, disk: &BadDisk, place: usize, rule: &str) {
    disk.set(rule);
    let status = cluster.nodes[place].wait_exit();
    assert_eq!(status.signal(), Some(9), "{status}");
    assert_eq!(disk.struck().len(), 1, "{rule}");
    disk.mend();
}

fn finish(cluster: &Cluster, load: Load) {
    load.wait_for_more(50);
    load.end(cluster);
}

#[test]
fn a_node_that_dies_beside_any_flush_of_its_log_keeps_its_word() {
    let (cluster, disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 4);
    for death in DEATHS {
        for number in ["1", "2"] {
            for of_leader in [true, false] {
                load.wait_for_more(20);
                let place = if of_leader { cluster.leader() } else { cluster.follower() };
                die(&cluster, &disks[place], place, &death.replace('N', number));
                load.wait_for_more(20);
                cluster.nodes[place].start(None);
                cluster.wait_voters(3);
            }
        }
    }
    finish(&cluster, load);
}

#[test]
fn a_node_that_dies_beside_any_flush_of_its_start_starts_the_next_time() {
    let (cluster, disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 4);
    load.wait_for_more(100);
    let place = cluster.follower();
    let node = &cluster.nodes[place];
    node.kill();
    let mut deaths = 0;
    for number in 1..=START_FLUSHES_MAX {
        let cut = ["cut-before", "cut-after:7"][number % 2];
        disks[place].set(&format!("* flush {number} {cut}"));
        let ready = node.spawn(None);
        // Under load flushes never end, so it dies in any case: the first times while it starts.
        wait_until("its death", || !node.is_running());
        drop(ready);
        deaths += disks[place].struck().len();
    }
    assert_eq!(deaths, START_FLUSHES_MAX, "it died of something else");
    disks[place].mend();
    node.start(None);
    cluster.wait_voters(3);
    finish(&cluster, load);
}

#[test]
fn a_power_cut_of_the_whole_cluster_takes_nothing_that_was_acknowledged() {
    let (cluster, disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 6);
    for cut in ["flush 3 cut-before", "write 9 cut-before:1", "flush 2 cut-after", "write 4 cut-after:2"] {
        load.wait_for_more(100);
        // Each dies at a call of its own, the second while it stands for election at the latest: that is flushed too.
        for disk in &disks {
            disk.set(&format!("* {cut}"));
        }
        wait_until("a majority to lose its power", || cluster.running().count() <= 1);
        // Alone the last one decides nothing, and so may have nothing to write.
        cluster.running().for_each(Node::kill);
        assert!(disks.iter().map(|disk| disk.struck().len()).sum::<usize>() >= 2);
        disks.iter().for_each(BadDisk::mend);
        cluster.start_together(&[0, 1, 2]);
        cluster.wait_voters(3);
    }
    finish(&cluster, load);
}

/// The tests above are worth something only if this holds.
#[test]
fn the_bad_disk_takes_what_was_not_flushed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().canonicalize().unwrap();
    fs::create_dir(dir.join("data")).unwrap();
    let run = |rules: &str| {
        fs::write(dir.join("data/file"), "old content").unwrap();
        fs::write(dir.join("rules"), rules).unwrap();
        // A shell opens a file for reading and writing with `<>`, and writes what `printf` is given in one call.
        Command::new("sh")
            .args(["-c", "exec 3<>data/file; printf new >&3; printf ' and longer than before' >&3; exit 0"])
            .current_dir(&dir)
            .env("LD_PRELOAD", built_library("diskfaults"))
            .env("DISKFAULTS_DIR", dir.join("data"))
            .env("DISKFAULTS_RULES", dir.join("rules"))
            .status()
            .unwrap()
    };
    let content = || fs::read_to_string(dir.join("data/file")).unwrap();
    assert!(run("* flush 1 cut-before\n").success());
    assert_eq!(content(), "new and longer than before");
    assert_eq!(run("file write 2 kill-before\n").signal(), Some(9));
    assert_eq!(content(), "new content");
    assert_eq!(run("file write 2 tear\n").signal(), Some(9));
    assert_eq!(content(), "new and longer");
    for at in ["write 2 cut-before", "write 2 cut-after"] {
        assert_eq!(run(&format!("file {at}\n")).signal(), Some(9));
        assert_eq!(content(), "old content", "{at}");
    }
    assert!(run("other write 1 cut-after\n").success());
}
