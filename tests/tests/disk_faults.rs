//! Disks that are full, fail, or give back something else than was written: the node stops, says what to do, and the others
//! go on.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

use tests::cluster::{Cluster, Node};
use tests::disk::cluster_on_bad_disks;
use tests::load::Load;
use tests::oracle::fold;

/// Waits for a node to give up, and for the others to go on without it. Returns what it said last.
fn gives_up(node: &Node, load: &Load) -> String {
    let status = node.wait_exit();
    assert_eq!(status.code(), Some(1), "{status}: {}", node.printed());
    load.wait_for_more(50);
    node.printed().lines().last().unwrap_or_default().to_owned()
}

/// What a node says that does not start.
fn refuses(node: &Node) -> String {
    let output = node.run_to_end(None);
    let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[test]
fn a_full_disk_stops_that_node_until_there_is_space() {
    let (cluster, disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 4);
    for of_leader in [false, true] {
        load.wait_for_more(50);
        let place = if of_leader { cluster.leader() } else { cluster.follower() };
        let node = &cluster.nodes[place];
        disks[place].set("* grow 1+ enospc");
        let said = gives_up(node, &load);
        assert!(said.contains("the disk is full: free some space, then start this server again"), "{said}");
        assert_ne!(cluster.leader(), place);

        // Started again too early it says the same.
        disks[place].set("* grow 1+ enospc");
        let said = refuses(node);
        assert!(said.contains("the disk is full"), "{said}");

        disks[place].mend();
        node.start(None);
        cluster.wait_voters(3);
    }
    load.end(&cluster);
}

#[test]
fn a_node_whose_directory_is_taken_away_stops() {
    let cluster = Cluster::start(3);
    let load = Load::start(&cluster, 4);
    for place in [cluster.follower(), cluster.leader()] {
        load.wait_for_more(50);
        let node = &cluster.nodes[place];
        let aside = node.dir.with_extension("aside");
        fs::rename(&node.dir, &aside).unwrap();
        let status = node.wait_exit();
        let said = fs::read_to_string(aside.join("node.log")).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("deleted or moved away while it ran") && said.contains("put it back"), "{said}");
        load.wait_for_more(50);
        fs::rename(&aside, &node.dir).unwrap();
        node.start(None);
        cluster.wait_voters(3);
    }
    load.end(&cluster);
}

#[test]
fn a_failed_flush_is_never_tried_again() {
    let (cluster, disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 6);
    // The log's flushes, and those of the checkpoint beside it. A second attempt would strike a second time.
    for (rule, of_leader) in
        [("log.db-wal flush 3+ eio", true), ("log.db-wal flush 3+ eio", false), ("log.db flush 1+ eio", false)]
    {
        load.wait_for_more(50);
        let place = if of_leader { cluster.leader() } else { cluster.follower() };
        let node = &cluster.nodes[place];
        disks[place].set(rule);
        let said = gives_up(node, &load);
        assert!(said.contains("cannot write log.db") && said.contains("the disk has failed"), "{said}");
        let struck = disks[place].struck();
        assert_eq!(struck.len(), 1, "it was tried again: {struck:?}");

        // The next start trusts nothing that the kernel may have dropped: it flushes everything again, or refuses.
        for database in ["log.db", "state.db"] {
            disks[place].set(&format!("{database} flush 1+ eio"));
            let said = refuses(node);
            assert!(said.contains(database) && said.contains("the disk has failed"), "{said}");
            assert_eq!(disks[place].struck().len(), 1);
        }
        disks[place].mend();
        node.start(None);
        cluster.wait_voters(3);
    }
    load.end(&cluster);
}

#[test]
fn a_write_that_fails_is_not_acknowledged() {
    let (cluster, disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 6);
    for rule in ["log.db-wal write 3 eio", "state.db-wal write 3 eio"] {
        for of_leader in [true, false] {
            load.wait_for_more(50);
            let place = if of_leader { cluster.leader() } else { cluster.follower() };
            disks[place].set(rule);
            let said = gives_up(&cluster.nodes[place], &load);
            assert!(said.contains("the disk has failed"), "{said}");
            disks[place].mend();
            cluster.nodes[place].start(None);
            cluster.wait_voters(3);
        }
    }
    load.end(&cluster);
}

/// Changes one bit of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Changes a bit so far behind each place where `mark` stands: some may be older copies that nobody reads.
fn flip_behind(path: &Path, mark: &str, distance: usize) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - mark.len() - distance;
    let places: Vec<_> = (0..last).filter(|&at| bytes[at..].starts_with(mark.as_bytes())).collect();
    assert!(!places.is_empty(), "{mark} is nowhere in {}", path.display());
    for at in places {
        bytes[at + distance] ^= 0x10;
    }
    fs::write(path, bytes).unwrap();
}

/// The files that a node keeps its data in, for putting them back.
fn keep(dir: &Path) -> Vec<(std::path::PathBuf, Option<Vec<u8>>)> {
    ["log.db", "log.db-wal", "log.db-shm", "state.db", "state.db-wal", "state.db-shm"]
        .map(|name| (dir.join(name), fs::read(dir.join(name)).ok()))
        .into()
}

fn put_back(kept: &[(std::path::PathBuf, Option<Vec<u8>>)]) {
    for (path, content) in kept {
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }
}

#[test]
fn damaged_data_is_found_before_it_is_used() {
    let (mut cluster, _disks) = cluster_on_bad_disks(3);
    let load = Load::start(&cluster, 4);
    load.wait_for_more(300);
    let place = cluster.follower();
    let node = &cluster.nodes[place];
    node.kill();
    let (log, state) = (node.dir.join("log.db"), node.dir.join("state.db"));
    let log_wal = node.dir.join("log.db-wal");
    // Once with what it has in the write-ahead logs, once with everything in the databases.
    let killed = keep(&node.dir);
    fold(&log);
    fold(&state);
    let folded = keep(&node.dir);

    let middle = |path: &Path| usize::try_from(fs::metadata(path).unwrap().len()).unwrap() / 2;
    type Harm<'a> = Box<dyn Fn() + 'a>;
    let harms: [(&str, &Vec<_>, Harm<'_>); 9] = [
        ("a bit in the write-ahead log", &killed, Box::new(|| flip(&log_wal, middle(&log_wal)))),
        ("a bit in the header of the write-ahead log", &killed, Box::new(|| flip(&log_wal, 17))),
        ("a bit of a stored message in the log", &folded, Box::new(|| flip_behind(&log, " says ", 1))),
        ("a bit of the vote", &folded, Box::new(|| flip_behind(&log, "vote", 6))),
        ("a bit in the header of the log", &folded, Box::new(|| flip(&log, 3))),
        (
            "half of the log",
            &folded,
            Box::new(|| {
                let bytes = fs::read(&log).unwrap();
                fs::write(&log, &bytes[..bytes.len() / 2 / 4096 * 4096]).unwrap();
            }),
        ),
        (
            "no log",
            &killed,
            Box::new(|| {
                fs::remove_file(&log).unwrap();
                fs::remove_file(&log_wal).unwrap();
            }),
        ),
        ("a bit in the tree of the state", &folded, Box::new(|| flip(&state, 3 * 4096))),
        ("a bit in the header of the state", &folded, Box::new(|| flip(&state, 5))),
    ];
    for (what, from, harm) in &harms {
        eprintln!("{what}");
        put_back(from);
        harm();
        let said = refuses(node);
        assert!(said.contains("is damaged") && said.contains("join as a new one"), "{what}: {said}");
    }
    drop(harms);

    // What it said is what helps: the directory is moved away, and the machine joins again.
    let again = cluster.new_node("again");
    again.start(Some(&cluster.nodes[cluster.leader()].invite()));
    cluster.nodes[place] = again;
    cluster.wait_voters(4);
    load.wait_for_more(100);
    load.end(&cluster);
}
