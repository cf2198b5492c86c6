//! Machines that come in the place of lost ones, that nobody reaches, or that would found a second cluster by mistake.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Stdio;

use serde_json::{Value, json};
use tests::cluster::{Cluster, Join, Node, bare_command, run_to_end};
use tests::legacy_client::Client;
use tests::netns::{Lan, on_separate_machines};
use tests::wait_until;
use wire::codec::Codec;

/// Wrong arguments or configuration.
const USAGE: i32 = 2;

/// It could not be done.
const FAILED: i32 = 1;

/// Ids of the servers that vote, as `on` lists them.
fn voters(on: &Node) -> Vec<String> {
    let list = on.admin("members").unwrap();
    let voters = list["members"].as_array().unwrap().iter().filter(|member| member["voter"] == true);
    voters.map(|member| member["id"].as_str().unwrap().to_owned()).collect()
}

fn id(node: &Node) -> String {
    node.admin("status").unwrap()["node_id"].as_str().unwrap().to_owned()
}

/// A follower dies and its disk is lost.
fn lose(cluster: &mut Cluster) -> (Node, String) {
    let lost = cluster.follower();
    let old = id(&cluster.nodes[lost]);
    cluster.nodes[lost].kill();
    let lost = cluster.nodes.remove(lost);
    fs::remove_dir_all(&lost.dir).unwrap();
    (lost, old)
}

#[test]
fn a_disk_lost_three_times_leaves_three_voters_that_survive_one_more_failure() {
    let mut cluster = Cluster::start(3);
    // By its name at another address, by both, and by its address under another name.
    for round in 0..3 {
        let (lost, old) = lose(&mut cluster);
        let mut fresh = cluster.new_node(if round == 2 { "another" } else { &lost.name });
        if round > 0 {
            fresh.set_address(lost.address());
        }
        fresh.start(Some(&cluster.nodes[0].invite()));
        let new = id(&fresh);
        cluster.nodes.push(fresh);
        wait_until("the new one to vote in the place of the old one", || {
            let voters = voters(&cluster.nodes[0]);
            voters.len() == 3 && voters.contains(&new) && !voters.contains(&old)
        });
        let printed = cluster.nodes[2].printed();
        assert!(printed.contains("takes the place of") && printed.contains(&old), "{printed}");
        cluster.wait_voters(3);
        cluster.settle();
    }
    let list = cluster.nodes[0].admin("members").unwrap();
    assert_eq!(list["removed"].as_array().unwrap().len(), 3);
    let victim = cluster.follower();
    cluster.nodes[victim].kill();
    let leader = cluster.leader();
    Client::connect(cluster.nodes[leader].address(), Codec::Json).unwrap().signup("ann").unwrap();
    cluster.nodes[victim].start(None);
    cluster.wait_voters(3);
    cluster.settle();
    cluster.stop();
}

#[test]
fn a_server_in_the_place_of_one_that_runs_is_refused_and_its_code_is_not_used_up() {
    let mut cluster = Cluster::start(2);
    let join = cluster.nodes[0].invite();
    for taken in ["n1", "n2"] {
        let mut twin = cluster.new_node("twin");
        twin.args = ["--name".into(), taken.into()].into();
        twin.typed = Some(vec!["--listen".into(), "127.0.0.1:0".into()]);
        let said = twin.refused(&join);
        assert!(said.contains(&format!("a server called {taken}")) && said.contains("is running"), "{said}");
        assert!(said.contains("--name") && said.contains("--listen"), "{said}");
    }
    let third = cluster.new_node("n3");
    third.start(Some(&join));
    cluster.nodes.push(third);
    cluster.wait_voters(3);
    cluster.stop();
}

#[test]
fn a_replaced_server_that_comes_back_is_told_and_ends() {
    let mut cluster = Cluster::start(3);
    let away = cluster.follower();
    cluster.nodes[away].kill();
    let away = cluster.nodes.remove(away);
    let mut fresh = Node::new(&away.dir.join(".."), "fresh");
    fresh.set_address(away.address());
    fresh.start(Some(&cluster.nodes[0].invite()));
    cluster.nodes.push(fresh);
    cluster.wait_voters(3);
    let mut back = away;
    back.set_address(([127, 0, 0, 1], 0).into());
    let output = back.run_to_end(None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("was removed from cluster"), "{said}");
    cluster.settle();
    cluster.stop();
}

/// An address where nobody listens, for TCP only or for neither.
fn nobody(tcp: bool) -> (SocketAddr, Option<TcpListener>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Free for UDP at this moment at least.
    UdpSocket::bind(address).unwrap();
    (address, tcp.then_some(listener))
}

#[test]
fn a_server_that_nobody_reaches_is_told_so_and_comes_in_later_with_the_same_code() {
    let mut cluster = Cluster::start(1);
    let join = cluster.nodes[0].invite();
    let mut newcomer = cluster.new_node("n2");
    for tcp in [false, true] {
        let (address, _held) = nobody(tcp);
        newcomer.args = ["--advertise".into(), address.to_string()].into();
        let said = newcomer.refused(&join);
        let words = [
            format!("nobody reaches this server at {address}"),
            "UDP".into(),
            "firewall".into(),
            "--advertise HOST:PORT".into(),
            "the join code was not used up".into(),
        ];
        for word in words {
            assert!(said.contains(&word), "no {word:?} in: {said}");
        }
        assert_eq!(cluster.nodes[0].status().unwrap().members.len(), 1, "nobody was let in");
    }
    newcomer.args.clear();
    newcomer.start(Some(&join));
    cluster.nodes.push(newcomer);
    cluster.wait_voters(2);
    cluster.stop();
}

#[test]
fn a_way_that_leads_to_another_server_is_called_that() {
    let mut cluster = Cluster::empty();
    let (address, _) = nobody(false);
    let mut founder = cluster.new_node("n1");
    founder.set_address(address);
    founder.args = ["--advertise".into(), format!("localhost:{}", address.port())].into();
    founder.start(None);
    cluster.nodes.push(founder);
    let join = cluster.nodes[0].invite();
    // The leader dials itself.
    let mut newcomer = cluster.new_node("n2");
    newcomer.args = ["--advertise".into(), address.to_string()].into();
    let said = newcomer.refused(&join);
    assert!(said.contains(&format!("another server answers at {address}")), "{said}");
    assert!(said.contains("--advertise HOST:PORT") && said.contains("not used up"), "{said}");
    assert!(!said.contains("120") && !said.contains("protocol"), "{said}");
    newcomer.args.clear();

    let elsewhere = Cluster::start(1);
    let said = newcomer.refused(&Join { peer: elsewhere.nodes[0].address().to_string(), code: join.code.clone() });
    assert!(said.contains("does not belong to the cluster this join code is for"), "{said}");
    assert!(!said.contains("unexpected"), "{said}");

    let nowhere = format!("0.0.0.0:{}", address.port());
    drop(newcomer.spawn(Some(&Join { peer: nowhere.clone(), code: join.code.clone() })));
    wait_until("it to say why it waits", || newcomer.printed().contains("waiting for a server to join through"));
    let said = newcomer.printed();
    assert!(said.contains(&format!("; {nowhere}: this is no address to connect to")), "{said}");
    newcomer.interrupt();

    newcomer.start(Some(&join));
    cluster.nodes.push(newcomer);
    cluster.wait_voters(2);
    let log = cluster.nodes[0].printed();
    assert!(!log.contains("cannot connect"), "all went well: {log}");
    elsewhere.stop();
    cluster.stop();
}

#[test]
fn a_start_that_expects_a_cluster_founds_none_and_joins_no_other() {
    let mut cluster = Cluster::start(1);
    let own = cluster.nodes[0].admin("status").unwrap()["cluster_id"].as_str().unwrap().to_owned();
    let other = "0".repeat(own.len());
    let mut empty = cluster.new_node("empty");

    empty.args = ["--expect-cluster".into(), own.clone()].into();
    let output = empty.run_to_end(None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(FAILED), "{said}");
    for word in [&own, empty.dir.to_str().unwrap(), "--peers", "--data-dir", "--expect-cluster"] {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!empty.dir.join("node.json").exists() && !empty.dir.join("ca.key").exists());

    let join = cluster.nodes[0].invite();
    empty.args = Vec::new();
    empty.env = [("SAMIRA_EXPECT_CLUSTER".into(), other.clone().into())].into();
    let said = empty.refused(&join);
    assert!(said.contains(&own) && said.contains(&other), "{said}");

    // The code was not used up, and with the right id all goes as without.
    empty.env = [("SAMIRA_EXPECT_CLUSTER".into(), own.clone().into())].into();
    empty.start(Some(&join));
    cluster.nodes.push(empty);
    cluster.wait_voters(2);
    cluster.stop();

    // A known one too looks before it speaks.
    cluster.nodes[0].args = ["--expect-cluster".into(), other.clone()].into();
    let output = cluster.nodes[0].run_to_end(None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(FAILED) && said.contains(&own) && said.contains(&other), "{said}");
}

#[test]
fn founding_is_said_loudly_with_the_line_for_units() {
    let mut cluster = Cluster::empty();
    let founder = cluster.add_node();
    wait_until("the start-up text", || founder.printed().contains("The code lets"));
    let id = founder.admin("status").unwrap()["cluster_id"].as_str().unwrap().to_owned();
    let printed = founder.printed();
    assert!(printed.contains("FOUNDED A NEW CLUSTER"), "{printed}");
    assert!(printed.contains(&format!("--expect-cluster {id}")), "{printed}");
    founder.stop();
    founder.start(None);
    wait_until("the second start-up text", || founder.printed().matches("Samira server n1").count() == 2);
    assert_eq!(founder.printed().matches("FOUNDED").count(), 1, "{}", founder.printed());
    // Nor does every start leave a code behind in the journal.
    wait_until("the second start-up text's end", || founder.printed().contains("prints the line to run"));
    assert_eq!(founder.printed().matches("The code lets").count(), 1, "{}", founder.printed());
    founder.stop();
}

#[test]
fn a_code_without_peers_is_an_error_and_founds_nothing() {
    let mut cluster = Cluster::empty();
    cluster.add_node();
    let code = cluster.nodes[0].invite().code;
    let mut lonely = cluster.new_node("lonely");
    let file = lonely.dir.with_extension("code");
    fs::write(&file, &code).unwrap();
    let named = ["--join-code-file".to_owned(), file.to_str().unwrap().to_owned()];
    for args in [["--join-code".to_owned(), code], named] {
        lonely.args = args.into();
        let output = lonely.run_to_end(None);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "{said}");
        assert!(said.contains("--join-code") && said.contains("--peers"), "{said}");
        assert!(!lonely.dir.join("node.json").exists());
    }
    cluster.stop();
}

#[test]
fn a_directory_that_was_joining_founds_nothing() {
    let mut cluster = Cluster::start(1);
    let mut newcomer = cluster.new_node("n2");
    // Nobody is there to decide, so it is still joining when it is killed.
    let nobody = Join { peer: "127.0.0.1:1".into(), code: cluster.nodes[0].invite().code };
    drop(newcomer.spawn(Some(&nobody)));
    wait_until("it to have begun", || newcomer.dir.join("joining.json").exists());
    newcomer.kill();
    let output = newcomer.run_to_end(None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("was joining a cluster") && said.contains("nothing was founded"), "{said}");
    assert!(!newcomer.dir.join("node.json").exists());
    // With the line of the cluster it goes on.
    newcomer.args.clear();
    newcomer.start(Some(&cluster.nodes[0].invite()));
    cluster.nodes.push(newcomer);
    cluster.wait_voters(2);
    cluster.stop();
}

#[test]
fn a_member_does_not_take_a_code_of_another_cluster_for_its_own() {
    let cluster = Cluster::start(1);
    let mut other = Cluster::empty();
    other.add_node();
    other.nodes[0].stop();
    let output = other.nodes[0].run_to_end(Some(&cluster.nodes[0].invite()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("join code is of another cluster") && said.contains("nothing was changed"), "{said}");
    // Its own stays in many a unit.
    other.nodes[0].start(None);
    let own = other.nodes[0].invite();
    other.nodes[0].stop();
    other.nodes[0].start(Some(&own));
    other.stop();
    cluster.stop();
}

#[test]
fn a_code_can_be_read_from_a_file_or_from_standard_input() {
    let mut cluster = Cluster::start(1);
    let Join { peer, code } = cluster.nodes[0].invite();
    let mut second = cluster.new_node("n2");
    let file = second.dir.with_extension("code");
    fs::write(&file, format!("{code}\n")).unwrap();
    second.args = ["--peers".into(), peer.clone(), "--join-code-file".into(), file.to_str().unwrap().into()].into();
    second.start(None);
    // A member needs no code: the line of its first start stays good when the file has gone.
    second.stop();
    fs::remove_file(&file).unwrap();
    second.start(None);
    cluster.nodes.push(second);
    cluster.wait_voters(2);

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("stdin"), "not a code\n").unwrap();
    let mut command = bare_command();
    command.args(["--listen", "127.0.0.1:0", "--peers", &peer, "--join-code-file", "-", "--data-dir"]);
    command.arg(dir.path().join("data")).stdin(Stdio::from(fs::File::open(dir.path().join("stdin")).unwrap()));
    let output = run_to_end(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--join-code-file") && said.contains("join code"), "{said}");
    cluster.stop();
}

#[test]
fn with_json_logs_everything_on_standard_output_is_json() {
    let cluster = Cluster::empty();
    let node = cluster.new_node("n1");
    let mut command = node.command(None);
    command.args(["--log", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut events = Vec::new();
    for line in lines {
        let line = line.unwrap();
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let event = value["event"].as_str().unwrap().to_owned();
        if event == "ready" {
            assert_eq!((&value["name"], value["address"].as_str().is_some()), (&json!("n1"), true), "{line}");
        }
        if event == "started" {
            assert!(value["join_code"].as_str().unwrap().contains('-'), "{line}");
            assert_eq!(value["founded"], true, "{line}");
        }
        events.push(event);
        if events.last().unwrap() == "started" {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(events, ["founded", "ready", "started"]);
}

#[test]
fn status_and_members_say_how_many_are_needed_and_that_one_more_failure_stops_all() {
    let mut cluster = Cluster::start(4);
    let said = |node: &Node, words: &[&str]| {
        let output = run_to_end(bare_command().args(words).arg("--data-dir").arg(&node.dir));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let leader = cluster.leader();
    let fine = said(&cluster.nodes[leader], &["status"]);
    assert!(fine.contains("needs 3 of 4") && !fine.contains("WARNING"), "{fine}");
    let dead = cluster.follower();
    cluster.nodes[dead].kill();
    for words in [&["status"][..], &["members", "list"]] {
        wait_until("the warning", || {
            let text = said(&cluster.nodes[leader], words);
            text.contains("needs 3 of 4") && text.contains("WARNING") && text.contains(&cluster.nodes[dead].name)
        });
    }
    for command in ["status", "members"] {
        let answer = cluster.nodes[leader].admin(command).unwrap();
        assert_eq!((&answer["voters"], &answer["needed"], &answer["reached"]), (&json!(4), &json!(3), &json!(3)));
        assert!(answer["warning"].as_str().unwrap().contains("nothing can be written"), "{answer}");
    }
    // The day stands beside a removal.
    let name = cluster.nodes[dead].name.clone();
    cluster.nodes[leader].ask(&json!({ "command": "remove-member", "member": name })).unwrap();
    let text = said(&cluster.nodes[leader], &["members", "list"]);
    let line = text.lines().find(|line| line.contains("was removed")).unwrap();
    assert!(line.contains(" at 20") && line.ends_with(" UTC"), "{line}");
    cluster.nodes.remove(dead);
    cluster.stop();
}

#[test]
fn machines_that_share_a_host_name_join_beside_each_other_and_are_told_apart_by_id() {
    on_separate_machines("machines_that_share_a_host_name_join_beside_each_other_and_are_told_apart_by_id", || {
        let lan = Lan::new(4);
        let mut cluster = Cluster::empty();
        let start = |cluster: &mut Cluster, i: usize| {
            let machine = &lan.machines[i];
            let mut node = cluster.new_node(&format!("m{i}"));
            (node.machine, node.name) = (Some(machine.clone()), String::new());
            node.typed = Some(vec!["--listen".into(), format!("{}:5555", machine.ip())]);
            let join = cluster.nodes.first().map(|first: &Node| first.invite());
            node.start(join.as_ref());
            cluster.nodes.push(node);
        };
        (0..3).for_each(|i| start(&mut cluster, i));
        cluster.wait_voters(3);
        let ids: Vec<_> = cluster.nodes.iter().map(id).collect();
        let status = run_to_end(bare_command().args(["status", "--data-dir"]).arg(&cluster.nodes[0].dir));
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(ids.iter().all(|id| status.contains(&format!("voter, id {id}"))), "{status}");

        // One is gone; a fourth with its name, but elsewhere, is somebody else.
        cluster.nodes[2].kill();
        start(&mut cluster, 3);
        wait_until("four voters", || voters(&cluster.nodes[0]).len() == 4);
        assert!(voters(&cluster.nodes[0]).contains(&ids[2]));
        let name = cluster.nodes[0].admin("status").unwrap()["name"].as_str().unwrap().to_owned();
        let remove = |who: &str| cluster.nodes[0].ask(&json!({ "command": "remove-member", "member": who }));
        let said = remove(&name).unwrap_err().to_string();
        assert!(said.contains("4 servers are called") && said.contains(&ids[2]), "{said}");
        assert_eq!(remove(&ids[2]).unwrap()["voters"], 3);
        cluster.nodes.remove(2);
        // By its address it would be itself, whatever it is called.
        cluster.stop();
    });
}
