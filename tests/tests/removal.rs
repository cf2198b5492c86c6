//! Members that operators remove: gone for good, told so, and no trouble to the others.

use serde_json::json;
use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::load::Load;
use tests::wait_until;
use wire::codec::Codec;

/// Exit code of a node that was removed.
const REMOVED: i32 = 3;

/// Asks `on` to remove `who`; returns how many vote now, or what stands against it.
fn remove(on: &Node, who: &str) -> Result<u64, String> {
    let answer = on.ask(&json!({ "command": "remove-member", "member": who }));
    answer.map(|answer| answer["voters"].as_u64().expect("a number")).map_err(|error| error.to_string())
}

/// What a removed node prints at its end.
fn check_farewell(said: &str, node: &Node) {
    let directory = node.dir.to_str().expect("a plain path");
    for part in ["was removed from cluster", "can be deleted", "node join-code", directory] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
}

#[test]
fn a_removed_server_is_told_ends_and_never_comes_back() {
    let mut cluster = Cluster::start(3);
    let load = Load::start(&cluster, 4);
    load.wait_for_more(50);
    let gone = cluster.follower();
    let by = (0..3).find(|&i| i != gone && i != cluster.leader()).unwrap();
    let name = cluster.nodes[gone].name.clone();
    let id = cluster.nodes[gone].admin("status").unwrap()["node_id"].as_str().unwrap().to_owned();
    let term = cluster.nodes[by].status().unwrap().term;

    // Asked on a follower, which forwards it to the leader.
    assert_eq!(remove(&cluster.nodes[by], &name), Ok(2));
    assert_eq!(cluster.nodes[gone].wait_end(), REMOVED);
    check_farewell(&cluster.nodes[gone].printed(), &cluster.nodes[gone]);
    let called = format!("({name}, id {id})");
    assert!(cluster.nodes[gone].printed().contains(&called), "names may repeat: {}", cluster.nodes[gone].printed());
    let removed = cluster.nodes.remove(gone);
    cluster.wait_voters(2);
    load.wait_for_more(50);

    // Asked again, and of nobody.
    let said = remove(&cluster.nodes[0], &name).unwrap_err();
    assert!(said.contains("was removed already"), "{said}");
    let said = remove(&cluster.nodes[0], "nobody").unwrap_err();
    assert!(
        said.contains("no server is called") && cluster.nodes.iter().all(|node| said.contains(&node.name)),
        "{said}"
    );

    // It remembers by itself...
    let again = removed.run_to_end(None);
    assert_eq!(again.status.code(), Some(REMOVED));
    check_farewell(&String::from_utf8_lossy(&again.stderr), &removed);
    // ...and a code for a new server is of no use to it.
    let again = removed.run_to_end(Some(&cluster.nodes[0].invite()));
    assert_eq!(again.status.code(), Some(REMOVED));

    let list = cluster.nodes[0].admin("members").unwrap();
    assert_eq!(list["members"].as_array().unwrap().len(), 2);
    assert_eq!(list["removed"][0]["name"], name.as_str());
    // The others were not disturbed.
    assert_eq!(cluster.nodes[0].status().unwrap().term, term);
    load.end(&cluster);
}

#[test]
fn a_server_removed_in_its_absence_is_told_when_it_comes_also_after_everybody_restarted() {
    let mut cluster = Cluster::start(4);
    let leader = cluster.leader();
    let away: Vec<usize> = (0..4).filter(|&i| i != leader).take(1).collect();
    let away = away[0];
    cluster.nodes[away].kill();
    let name = cluster.nodes[away].name.clone();
    assert_eq!(remove(&cluster.nodes[leader], &name), Ok(3));
    let absent = cluster.nodes.remove(away);
    cluster.wait_voters(3);

    // Everybody forgets what is only in memory.
    cluster.stop();
    let starting: Vec<_> = cluster.nodes.iter().map(|node| node.spawn(None)).collect();
    for (node, ready) in cluster.nodes.iter().zip(&starting) {
        node.wait_ready(ready);
    }
    cluster.wait_voters(3);
    cluster.settle();
    let term = cluster.nodes[0].status().unwrap().term;

    let output = absent.run_to_end(None);
    assert_eq!(output.status.code(), Some(REMOVED), "{}", String::from_utf8_lossy(&output.stdout));
    check_farewell(&String::from_utf8_lossy(&output.stderr), &absent);
    assert_eq!(cluster.nodes[0].status().unwrap().term, term, "it disturbed the others");

    // Its machine comes back as a new server, under its old name.
    std::fs::remove_dir_all(&absent.dir).unwrap();
    absent.start(Some(&cluster.nodes[0].invite()));
    cluster.nodes.push(absent);
    cluster.wait_voters(4);
    cluster.settle();
    cluster.stop();
}

#[test]
fn a_leader_can_be_removed_from_outside_and_on_itself() {
    let mut cluster = Cluster::start(4);
    let load = Load::start(&cluster, 4);
    for voters in [3, 2] {
        load.wait_for_more(50);
        let leader = cluster.leader();
        let ask = if voters == 3 { leader } else { (leader + 1) % cluster.nodes.len() };
        assert_eq!(remove(&cluster.nodes[ask], &cluster.nodes[leader].name), Ok(voters));
        assert_eq!(cluster.nodes[leader].wait_end(), REMOVED);
        check_farewell(&cluster.nodes[leader].printed(), &cluster.nodes[leader]);
        cluster.nodes.remove(leader);
        cluster.wait_voters(usize::try_from(voters).unwrap());
    }
    load.wait_for_more(50);
    load.end(&cluster);
}

#[test]
fn a_removal_that_would_stop_the_cluster_is_refused_with_the_reason() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let dead = cluster.follower();
    let alive = (0..3).find(|&i| i != leader && i != dead).unwrap();
    cluster.nodes[dead].kill();
    let (dead_name, alive_name) = (cluster.nodes[dead].name.clone(), cluster.nodes[alive].name.clone());
    wait_until("the leader to miss the dead one", || {
        let list = cluster.nodes[leader].admin("members").unwrap();
        let members = list["members"].as_array().unwrap();
        members.iter().any(|member| member["name"] == dead_name.as_str() && member["connected"] == false)
    });
    let said = remove(&cluster.nodes[leader], &alive_name).unwrap_err();
    assert!(said.contains("could not decide anything") && said.contains(&dead_name), "{said}");
    // The other way round it works, down to one.
    assert_eq!(remove(&cluster.nodes[leader], &dead_name), Ok(2));
    assert_eq!(remove(&cluster.nodes[leader], &alive_name), Ok(1));
    assert_eq!(cluster.nodes[alive].wait_end(), REMOVED);
    let last = cluster.nodes.swap_remove(leader);
    let said = remove(&last, &last.name).unwrap_err();
    assert!(said.contains("the only server"), "{said}");
    cluster.nodes = vec![last];
    cluster.wait_voters(1);
    let mut client = Client::connect(cluster.nodes[0].address(), Codec::Json).unwrap();
    client.signup("ann").unwrap();
    cluster.stop();
}
