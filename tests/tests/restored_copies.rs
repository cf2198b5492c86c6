//! Data directories that are not what they were: copies put back, files exchanged, clones, changed rows. Whatever was
//! acknowledged is there, or some server says that it is not and does not serve.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::oracle::stored_texts;
use tests::{wait_for, wait_until};
use wire::codec::Codec;
use wire::replication::command::RULE_LEVEL;

/// Failed by itself.
const FAILED: i32 = 1;

/// What a server says that has less than it promised.
const OLDER: &str = "this data directory is older than what this server has promised";

/// Copies what `cp -a` would, except sockets. Files are new ones.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// Puts a copy in the place of a node's directory.
fn restore(node: &Node, from: &Path) {
    fs::remove_dir_all(&node.dir).unwrap();
    copy(from, &node.dir);
}

/// As a file system that is set back to an earlier state: every file is still the same one, with what it held then.
fn set_back(node: &Node, from: &Path) {
    for file in fs::read_dir(&node.dir).unwrap() {
        let file = file.unwrap();
        let earlier = from.join(file.file_name());
        if earlier.is_file() {
            fs::write(file.path(), fs::read(earlier).unwrap()).unwrap();
        } else if file.file_type().unwrap().is_file() {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

/// Three nodes, a conversation, and what was said in it.
struct World {
    cluster: Cluster,
    chat: String,
    said: Vec<String>,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::start(3);
        let mut client = Client::connect(cluster.nodes[0].address(), Codec::Json).unwrap();
        client.signup("ann").unwrap();
        client.login("ann").unwrap();
        let chat = client.start_chat("ann", "ann").unwrap();
        cluster.settle();
        World { cluster, chat, said: Vec::new() }
    }

    fn node(&self, place: usize) -> &Node {
        &self.cluster.nodes[place]
    }

    /// Says `count` things through a node; each is acknowledged.
    fn say(&mut self, place: usize, count: usize) {
        let mut client = Client::logged_in(self.node(place).address(), Codec::Json, "ann").unwrap();
        for _ in 0..count {
            let text = format!("message {}", self.said.len());
            client.send(&self.chat, "ann", &text).unwrap();
            self.said.push(text);
        }
    }

    /// A copy of a node's directory, taken while the node stands still.
    fn copy_of(&self, place: usize) -> tempfile::TempDir {
        let copied = tempfile::tempdir().unwrap();
        self.node(place).freeze();
        copy(&self.node(place).dir, copied.path());
        self.node(place).thaw();
        copied
    }

    /// The leader and two followers.
    fn roles(&self) -> [usize; 3] {
        let leader = self.cluster.leader();
        let followers: Vec<usize> = (0..3).filter(|&place| place != leader).collect();
        [leader, followers[0], followers[1]]
    }

    fn has_everything(&self, places: &[usize]) {
        for &place in places {
            wait_until("every acknowledged message to be there", || {
                stored_texts(self.node(place), &self.chat) == self.said
            });
        }
    }

    /// `kept` has lost fifty messages that only the leader still has, `late` never had them, and the leader is away.
    fn only_the_leader_has_all(&mut self, exchange: impl FnOnce(&Node, &Path)) -> [usize; 3] {
        self.only_the_leader_has_all_after(|_| {}, exchange)
    }

    /// The same, with something done between the copy and the messages.
    fn only_the_leader_has_all_after(
        &mut self,
        between: impl FnOnce(&Node),
        exchange: impl FnOnce(&Node, &Path),
    ) -> [usize; 3] {
        let (places, copied) = self.fifty_more_without_one(between);
        let [leader, kept, _] = places;
        wait_until("the follower to have everything", || {
            let [leader, kept] = [leader, kept].map(|place| self.node(place).status().unwrap());
            leader.last_log == kept.last_log && leader.committed == kept.committed
        });
        self.node(kept).kill();
        // What it remembers of the others is written down once a second, and when it stops.
        self.node(leader).stop();
        exchange(self.node(kept), copied.path());
        places
    }

    /// A leader and a follower have fifty messages that the third never had; and a copy of the follower from before.
    fn fifty_more_without_one(&mut self, between: impl FnOnce(&Node)) -> ([usize; 3], tempfile::TempDir) {
        let [leader, kept, _] = self.roles();
        self.say(leader, 10);
        self.cluster.settle();
        let copied = self.copy_of(kept);
        between(self.node(kept));
        self.cluster.wait_voters(3);
        let leader = self.cluster.leader();
        assert_ne!(leader, kept);
        let late = (0..3).find(|place| ![leader, kept].contains(place)).unwrap();
        self.node(late).kill();
        self.say(leader, 50);
        ([leader, kept, late], copied)
    }
}

/// Last words of a node that had to end.
fn last_words(node: &Node) -> String {
    assert_eq!(node.wait_end(), FAILED);
    let printed = node.printed();
    assert!(!printed.contains("panicked at"), "{printed}");
    assert!(!printed.contains("nothing it has promised is lost"), "{printed}");
    printed[printed.rfind("node: ").expect("it gives a reason")..].to_owned()
}

fn trouble(node: &Node, with: &str) -> Option<String> {
    let status = node.admin("status").ok()?;
    let member = status["members"].as_array()?.iter().find(|member| member["name"] == with)?.clone();
    Some(member["trouble"].as_str()?.to_owned())
}

#[test]
fn a_restored_follower_is_told_by_those_who_remember_and_serves_no_more() {
    let mut world = World::new();
    let [leader, other, restored] = world.roles();
    world.say(leader, 10);
    world.cluster.settle();
    let copied = world.copy_of(restored);
    world.say(leader, 50);
    world.cluster.settle();
    world.node(restored).kill();
    restore(world.node(restored), copied.path());
    let _ = world.node(restored).spawn(None);
    let said = last_words(world.node(restored));
    assert!(said.contains(OLDER) && said.contains("restored from a copy?"), "{said}");
    assert!(said.contains("Put the newest data directory") && said.contains("members remove"), "{said}");
    let name = world.node(restored).name.clone();
    wait_until("its peers to say so", || {
        [leader, other].into_iter().any(|place| {
            trouble(world.node(place), &name).is_some_and(|trouble| trouble.contains("older than what it has promised"))
        })
    });
    // Nobody is sent to start it again, and programs are warned too.
    wait_until("its end to be shown", || {
        let status = world.node(leader).admin("status").unwrap();
        let (warning, warnings) = (status["warning"].to_string(), status["warnings"].to_string());
        warning.contains(&name)
            && warning.contains("Starting it again does not help")
            && !warning.contains("Start it again")
            && warnings.contains(&format!("{name} ("))
            && warnings.contains("older than what it has promised")
    });
    world.say(other, 5);
    world.has_everything(&[leader, other]);
}

#[test]
fn an_older_directory_is_taken_when_its_operator_says_that_nothing_newer_is_left() {
    let mut world = World::new();
    let [leader, other, restored] = world.roles();
    world.say(leader, 10);
    world.cluster.settle();
    let copied = world.copy_of(restored);
    // Its start is counted twice, once by the life that is lost.
    world.node(restored).kill();
    world.node(restored).start(None);
    world.say(leader, 50);
    world.cluster.settle();
    world.node(restored).kill();
    restore(world.node(restored), copied.path());
    let _ = world.node(restored).spawn(None);
    let said = last_words(world.node(restored));
    assert!(said.contains("--trust-data") && said.contains("has run since from newer files"), "{said}");
    world.cluster.nodes[restored].args.push("--trust-data".into());
    world.node(restored).start(None);
    world.say(other, 5);
    world.has_everything(&[leader, other, restored]);
    // The leader that had counted on it goes on, and the next start is like any other.
    assert_eq!(world.cluster.leader(), leader);
    world.node(restored).stop();
    world.cluster.nodes[restored].args.clear();
    world.node(restored).start(None);
    world.cluster.wait_voters(3);
    world.cluster.settle();
}

#[test]
fn a_restored_leader_is_told_by_those_who_followed_it() {
    let mut world = World::new();
    let [leader, other, third] = world.roles();
    world.say(leader, 10);
    world.cluster.settle();
    let copied = world.copy_of(leader);
    world.say(leader, 50);
    world.cluster.settle();
    world.node(leader).kill();
    // Not even the files look different.
    set_back(world.node(leader), copied.path());
    let _ = world.node(leader).spawn(None);
    let said = last_words(world.node(leader));
    assert!(said.contains(OLDER), "{said}");
    world.say(other, 5);
    world.has_everything(&[other, third]);
}

#[test]
fn a_copy_votes_only_after_everybody_has_confirmed_it() {
    let mut world = World::new();
    let [leader, restored, late] = world.only_the_leader_has_all(restore);
    for place in [restored, late] {
        let _ = world.node(place).spawn(None);
    }
    let name = world.node(leader).name.clone();
    let waiting = wait_for("it to say whom it waits for", || {
        let status = world.node(restored).admin("status").ok()?;
        status["waiting_for"].as_str().map(str::to_owned).filter(|text| text.contains("is a copy"))
    });
    assert!(waiting.contains(&format!("{name} (")) && waiting.contains("--trust-data"), "{waiting}");
    // Longer than several elections take: a write is held for ten seconds and then refused.
    let mut client = Client::logged_in(world.node(restored).address(), Codec::Json, "ann").unwrap();
    client.send(&world.chat, "ann", "into the void").unwrap_err();
    assert_eq!(world.node(restored).status().unwrap().leader, None);
    world.node(leader).start(None);
    let said = last_words(world.node(restored));
    assert!(said.contains(OLDER), "{said}");
    world.say(late, 5);
    world.has_everything(&[leader, late]);
}

#[test]
fn a_copy_loses_nothing_where_nobody_has_written_down_what_it_promised() {
    let mut world = World::new();
    let ([leader, restored, late], copied) = world.fifty_more_without_one(|_| {});
    // Within a moment of the last acknowledgement, as when the power fails.
    world.cluster.kill_together(&[leader, restored]);
    restore(world.node(restored), copied.path());
    for place in [restored, late] {
        let _ = world.node(place).spawn(None);
    }
    wait_for("it to say whom it waits for", || {
        let status = world.node(restored).admin("status").ok()?;
        status["waiting_for"].as_str().filter(|text| text.contains("is a copy")).map(str::to_owned)
    });
    world.node(leader).start(None);
    world.say(late, 5);
    world.has_everything(&[leader, late]);
    // It was found out, or has caught up.
    wait_until("the copy to end or to have everything", || match world.node(restored).status() {
        Some(status) => status.last_log == world.node(leader).status().and_then(|status| status.last_log),
        None => true,
    });
}

#[test]
fn a_cluster_that_starts_together_finds_the_one_that_was_set_back() {
    let mut world = World::new();
    let [leader, restored, late] = world.only_the_leader_has_all(set_back);
    for place in [restored, late, leader] {
        let _ = world.node(place).spawn(None);
    }
    let said = last_words(world.node(restored));
    assert!(said.contains(OLDER), "{said}");
    wait_until("the others to serve", || world.node(late).status().is_some_and(|status| status.leader.is_some()));
    world.say(late, 5);
    world.has_everything(&[leader, late]);
}

#[test]
fn a_removed_write_ahead_log_is_noticed_by_the_directory_itself() {
    let mut world = World::new();
    let [leader, cut, late] = world.only_the_leader_has_all(|node, _| {
        fs::remove_file(node.dir.join("log.db-wal")).unwrap();
    });
    for place in [cut, late] {
        let _ = world.node(place).spawn(None);
    }
    let said = last_words(world.node(cut));
    assert!(said.contains("log.db-wal was removed") && said.contains("up to entry"), "{said}");
    world.node(leader).start(None);
    world.say(late, 5);
    world.has_everything(&[leader, late]);
}

#[test]
fn databases_of_a_copy_beside_younger_files_are_refused_or_complete() {
    let mut world = World::new();
    let restart = |node: &Node| {
        // Moves everything into the database, and begins a new write-ahead log.
        node.kill();
        node.start(None);
    };
    let [leader, mixed, late] = world.only_the_leader_has_all_after(restart, |node, copied| {
        for name in ["log.db", "state.db"] {
            fs::write(node.dir.join(name), fs::read(copied.join(name)).unwrap()).unwrap();
        }
    });
    for place in [mixed, late] {
        let _ = world.node(place).spawn(None);
    }
    let said = last_words(world.node(mixed));
    assert!(said.contains("replaced by an older one") || said.contains("is damaged"), "{said}");
    world.node(leader).start(None);
    world.say(late, 5);
    world.has_everything(&[leader, late]);
}

#[test]
fn a_clone_beside_the_original_is_sent_away() {
    let mut world = World::new();
    let [leader, other, original] = world.roles();
    world.say(leader, 10);
    let copied = world.copy_of(original);
    let mut clone = Node::new(copied.path().parent().unwrap(), "clone");
    clone.dir = copied.path().to_owned();
    clone.name.clone_from(&world.node(original).name);
    world.cluster.nodes.push(clone);
    let _ = world.node(3).spawn(None);
    let said = last_words(world.node(3));
    assert!(said.contains("another server uses this identity now"), "{said}");
    assert!(said.contains(&world.node(original).address().to_string()), "{said}");
    let name = world.node(original).name.clone();
    wait_until("a peer to show it", || {
        [leader, other].into_iter().any(|place| {
            trouble(world.node(place), &name).is_some_and(|trouble| trouble.contains("two servers use its identity"))
        })
    });
    world.say(original, 5);
    world.has_everything(&[leader, other, original]);
    // A new start of the original is no clone.
    world.node(original).kill();
    world.node(original).start(None);
    world.cluster.wait_voters(3);
    assert_eq!(trouble(world.node(leader), &name), None);
}

#[test]
fn an_original_that_comes_back_after_its_copy_has_taken_its_place_is_refused() {
    let mut world = World::new();
    let [leader, other, original] = world.roles();
    world.say(leader, 10);
    world.cluster.settle();
    world.node(original).kill();
    let copied = tempfile::tempdir().unwrap();
    copy(&world.node(original).dir, copied.path());
    let mut moved = Node::new(copied.path().parent().unwrap(), "moved");
    moved.dir = copied.path().to_owned();
    moved.name.clone_from(&world.node(original).name);
    moved.set_address(world.node(original).address());
    world.cluster.nodes.push(moved);
    // A directory that was moved on purpose works like any other while the others are there.
    world.node(3).start(None);
    world.cluster.wait_voters(3);
    world.say(3, 5);
    world.node(3).stop();
    let _ = world.node(original).spawn(None);
    let said = last_words(world.node(original));
    assert!(said.contains(OLDER), "{said}");
    world.node(3).start(None);
    world.say(other, 5);
    world.has_everything(&[leader, other, 3]);
}

#[test]
fn the_one_that_still_has_everything_says_that_the_others_have_another_history() {
    let mut world = World::new();
    // Nobody who runs remembers, and every file is the same: nothing can be noticed yet.
    let [leader, restored, late] = world.only_the_leader_has_all(set_back);
    for place in [restored, late] {
        world.node(place).start(None);
    }
    world.cluster.wait_voters(3);
    let mut client = Client::logged_in(world.node(late).address(), Codec::Json, "ann").unwrap();
    client.send(&world.chat, "ann", "another history").unwrap();
    let _ = world.node(leader).spawn(None);
    let said = last_words(world.node(leader));
    assert!(said.contains("another history") && said.contains("Keep its data directory"), "{said}");
    // It says the same at each start, and its messages are still there.
    let _ = world.node(leader).spawn(None);
    let said = last_words(world.node(leader));
    assert!(said.contains("another history"), "{said}");
    assert_eq!(stored_texts(world.node(leader), &world.chat), world.said);
}

#[test]
fn a_single_server_goes_on_from_a_moved_directory_and_says_that_nobody_could_be_asked() {
    let mut cluster = Cluster::start(1);
    cluster.nodes[0].kill();
    let moved = tempfile::tempdir().unwrap();
    copy(&cluster.nodes[0].dir, moved.path());
    cluster.nodes[0].dir = moved.path().to_owned();
    cluster.nodes[0].start(None);
    assert_eq!(cluster.nodes[0].status().unwrap().role, "leader");
    assert!(cluster.nodes[0].printed().contains("the data directory was moved, or is a copy"));
    cluster.nodes[0].kill();
    // Once is enough.
    let before = cluster.nodes[0].printed().len();
    cluster.nodes[0].start(None);
    assert!(!cluster.nodes[0].printed()[before..].contains("was moved, or is a copy"));
}

#[test]
fn a_replica_whose_state_differs_stops_and_the_others_go_on() {
    let mut world = World::new();
    let [leader, other, changed] = world.roles();
    world.say(leader, 10);
    world.cluster.settle();
    world.node(changed).kill();
    let db = Connection::open(world.node(changed).dir.join("state.db")).unwrap();
    db.execute("UPDATE messages SET text = 'never said' WHERE number = 3", []).unwrap();
    db.execute("UPDATE progress SET state_hash = ?1", params![[7_u8; 32]]).unwrap();
    drop(db);
    let _ = world.node(changed).spawn(None);
    let said = last_words(world.node(changed));
    assert!(said.contains("differs from that of the other servers"), "{said}");
    world.say(other, 5);
    world.has_everything(&[leader, other]);
}

#[test]
fn a_follower_that_differs_from_the_only_other_replica_stops() {
    let cluster = Cluster::start(2);
    cluster.settle();
    let follower = cluster.follower();
    cluster.nodes[follower].kill();
    let db = Connection::open(cluster.nodes[follower].dir.join("state.db")).unwrap();
    db.execute("UPDATE progress SET state_hash = ?1", params![[7_u8; 32]]).unwrap();
    drop(db);
    let _ = cluster.nodes[follower].spawn(None);
    let ended = wait_for("one to end", || (0..2).find(|&place| !cluster.nodes[place].is_running()));
    let other = 1 - ended;
    let printed = cluster.nodes[ended].printed();
    assert!(printed.contains("differs from that of the leader"), "{printed}");
    let name = cluster.nodes[ended].name.clone();
    wait_until("the other to show it", || {
        trouble(&cluster.nodes[other], &name).is_some_and(|trouble| trouble.contains("its state differs"))
    });
}

/// The checksum of a value in `log.db`.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn an_old_outcome_never_answers_a_new_write() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    Client::connect(node.address(), Codec::Json).unwrap().signup("ann").unwrap();
    node.kill();
    // The epoch of its writes as it was before the first start.
    let db = Connection::open(node.dir.join("log.db")).unwrap();
    let bytes = [1, 0];
    let crc = crc32(&[b"epoch".as_slice(), &bytes].concat());
    db.execute("UPDATE value SET crc = ?1, bytes = ?2 WHERE key = 'epoch'", params![crc, bytes]).unwrap();
    drop(db);
    node.start(None);
    let mut client = Client::connect(node.address(), Codec::Json).unwrap();
    for name in ["zoe", "yan", "xia"] {
        client.signup(name).unwrap();
        client.login(name).unwrap();
    }
}

#[test]
fn a_leader_stamps_no_rules_that_a_voter_does_not_know() {
    let mut cluster = Cluster::start_prepared(3, |node| node.env.push(("SAMIRA_TEST_RULE_LEVEL".into(), "3".into())));
    let old = cluster.follower();
    for place in (0..3).filter(|&place| place != old) {
        cluster.nodes[place].stop();
        cluster.nodes[place].env.clear();
        cluster.nodes[place].start(None);
        cluster.wait_voters(3);
    }
    if cluster.leader() == old {
        cluster.nodes[old].stop();
        let _ = cluster.leader();
        cluster.nodes[old].start(None);
        cluster.wait_voters(3);
    }
    let leader = cluster.leader();
    assert_ne!(leader, old);
    let mut client = Client::connect(cluster.nodes[leader].address(), Codec::Json).unwrap();
    client.signup("ann").unwrap();
    cluster.settle();
    let level = |place: usize| cluster.nodes[place].admin("status").ok()?["rule_level"].as_u64();
    assert_eq!(level(leader), Some(3));
    assert!(cluster.nodes[old].is_running());
    // With its upgrade everybody knows the newer rules.
    cluster.nodes[old].stop();
    let newest = cluster.nodes[old].env.pop();
    assert!(newest.is_some());
    cluster.nodes[old].start(None);
    let level = |place: usize| cluster.nodes[place].admin("status").ok()?["rule_level"].as_u64();
    wait_until("the newer rules to be in force", || level(leader) == Some(u64::from(RULE_LEVEL)));
    client.signup("bob").unwrap();
    cluster.settle();
}
