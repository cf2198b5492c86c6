//! Addresses that change, names that stand for several, and both families of addresses.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::{Ipv4Addr, SocketAddr};

use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::machines::{PORT, addresses, at, cluster_on, on, open, printed_line};
use tests::netns::{Lan, on_separate_machines};
use tests::{wait_for, wait_until};
use wire::codec::Codec;

/// Another address of the machine at this place of the list.
fn elsewhere(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 101 + u8::try_from(place).unwrap())
}

/// Where its node is then reached.
fn moved(place: usize) -> String {
    SocketAddr::from((elsewhere(place), PORT)).to_string()
}

/// Gives a stopped node's machine another address, and starts the node as its operator would.
fn start_elsewhere(lan: &Lan, cluster: &mut Cluster, place: usize, typed: &[&str]) {
    let machine = &lan.machines[place];
    machine.renumber(machine.ip(), elsewhere(place));
    cluster.nodes[place].typed = Some(typed.iter().map(|&word| word.to_owned()).collect());
}

/// Waits until every node lists every member where it is, and reaches it.
fn wait_listed(cluster: &Cluster, expected: &[String]) {
    wait_until(&format!("all nodes to list {expected:?} and to reach everybody"), || {
        cluster.nodes.iter().all(|node| addresses(node) == expected && reaches_all(node))
    });
}

fn reaches_all(node: &Node) -> bool {
    let list = node.admin("members").unwrap();
    list["members"].as_array().unwrap().iter().all(|member| member["connected"] == true)
}

/// Says something by way of a node, as somebody on its machine.
fn writes(lan: &Lan, cluster: &Cluster, place: usize, name: &str) {
    let local = SocketAddr::from(([127, 0, 0, 1], PORT));
    lan.machines[place].run(|| {
        let mut client = Client::connect(local, Codec::Json).unwrap();
        wait_until(&format!("a write by way of {}", cluster.nodes[place].name), || client.signup(name).is_ok());
    });
}

#[test]
fn a_follower_that_comes_back_at_another_address_is_found_while_the_leader_lives() {
    on_separate_machines("a_follower_that_comes_back_at_another_address_is_found_while_the_leader_lives", || {
        let lan = Lan::new(3);
        let mut cluster = cluster_on(&lan, 3);
        let (leader, follower) = (cluster.leader(), cluster.follower());
        let term = cluster.nodes[leader].status().unwrap().term;
        cluster.nodes[follower].stop();
        writes(&lan, &cluster, leader, "ann");
        start_elsewhere(&lan, &mut cluster, follower, &[]);
        cluster.nodes[follower].start(None);
        let mut expected: Vec<String> = lan.machines.iter().map(|machine| at(machine).to_string()).collect();
        expected[follower] = moved(follower);
        wait_listed(&cluster, &expected);
        writes(&lan, &cluster, follower, "bob");
        cluster.settle();
        assert_eq!(cluster.nodes[leader].status().unwrap().term, term, "nobody was deposed for it");
        cluster.stop();
    });
}

#[test]
fn a_leader_that_comes_back_at_another_address_is_found() {
    on_separate_machines("a_leader_that_comes_back_at_another_address_is_found", || {
        let lan = Lan::new(3);
        let mut cluster = cluster_on(&lan, 3);
        let old = cluster.leader();
        cluster.nodes[old].kill();
        writes(&lan, &cluster, (old + 1) % 3, "ann");
        start_elsewhere(&lan, &mut cluster, old, &[]);
        cluster.nodes[old].start(None);
        let mut expected: Vec<String> = lan.machines.iter().map(|machine| at(machine).to_string()).collect();
        expected[old] = moved(old);
        wait_listed(&cluster, &expected);
        // Its death is noticed at the address it has now, too: the watch has followed.
        writes(&lan, &cluster, old, "bob");
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn three_that_moved_at_once_find_each_other_by_the_address_of_one() {
    on_separate_machines("three_that_moved_at_once_find_each_other_by_the_address_of_one", || {
        let lan = Lan::new(3);
        let mut cluster = cluster_on(&lan, 3);
        writes(&lan, &cluster, 0, "ann");
        cluster.stop();
        let first = moved(0);
        for place in 0..3 {
            let typed: &[&str] = if place == 0 { &[] } else { &["--peers", &first] };
            start_elsewhere(&lan, &mut cluster, place, typed);
        }
        // Alone it waits, says for whom, and what would help.
        let ready = cluster.nodes[0].spawn(None);
        cluster.nodes[0].wait_ready(&ready);
        wait_until("the first node to say what it waits for", || {
            let status = cluster.nodes[0].admin("status").unwrap();
            status["waiting_for"].as_str().is_some_and(|waiting| {
                let all = ["1 of 3", "2 are needed", "10.77.0.2:5555", "10.77.0.3:5555", "--peers"];
                all.iter().all(|word| waiting.contains(word))
            })
        });
        cluster.start_together(&[1, 2]);
        let expected: Vec<String> = (0..3).map(moved).collect();
        wait_listed(&cluster, &expected);
        cluster.wait_voters(3);
        writes(&lan, &cluster, 2, "bob");
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn an_address_that_changes_while_the_node_runs_is_noticed_and_announced() {
    on_separate_machines("an_address_that_changes_while_the_node_runs_is_noticed_and_announced", || {
        let lan = Lan::new(3);
        let cluster = cluster_on(&lan, 3);
        let mut expected: Vec<String> = lan.machines.iter().map(|machine| at(machine).to_string()).collect();
        for place in [cluster.follower(), cluster.leader()] {
            lan.machines[place].renumber(lan.machines[place].ip(), elsewhere(place));
            expected[place] = moved(place);
            wait_listed(&cluster, &expected);
            cluster.wait_voters(3);
            writes(&lan, &cluster, place, &format!("from{place}"));
        }
        // What it tells about itself has followed.
        let place = cluster.leader();
        let status = cluster.nodes[place].admin("status").unwrap();
        assert_eq!(status["address"].as_str(), Some(&*expected[place]), "{status}");
        cluster.settle();
        // It is still known at the next start.
        cluster.stop();
        cluster.start_together(&[0, 1, 2]);
        wait_listed(&cluster, &expected);
        cluster.stop();
    });
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    on_separate_machines("all_addresses_of_a_name_are_tried", || {
        let mut lan = Lan::new(2);
        for machine in &mut lan.machines {
            machine.add_ipv6();
            // Nobody listens at the first, and the second leads nowhere.
            let hosts = "127.0.0.1 localhost\nfd77::1 chat.lan\n10.77.0.99 chat.lan\n10.77.0.1 chat.lan\n";
            machine.set_hosts(hosts);
        }
        let mut cluster = Cluster::empty();
        // Its name is what the others are told.
        let node =
            on(&cluster, &lan.machines[0], "n1", &["--listen", "10.77.0.1:5555", "--advertise", "chat.lan:5555"]);
        cluster.nodes.push(node);
        cluster.nodes[0].start(None);
        let line = printed_line(&cluster.nodes[0]);
        assert!(line.contains(&"chat.lan:5555".to_owned()), "{line:?}");
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let node = on(&cluster, &lan.machines[1], "n2", &words);
        cluster.nodes.push(node);
        cluster.nodes[1].start(None);
        cluster.wait_voters(2);
        wait_until("links by name", || cluster.nodes.iter().all(reaches_all));
        cluster.nodes[1].stop();
        cluster.nodes[1].typed = Some(Vec::new());
        cluster.nodes[1].start(None);
        wait_until("links by name again", || cluster.nodes.iter().all(reaches_all));
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn a_node_told_nothing_serves_both_families_and_says_so() {
    on_separate_machines("a_node_told_nothing_serves_both_families_and_says_so", || {
        let lan = Lan::new(3);
        lan.machines.iter().for_each(|machine| machine.add_ipv6());
        let mut cluster = Cluster::empty();
        let node = open(on(&cluster, &lan.machines[0], "n1", &[]));
        cluster.nodes.push(node);
        cluster.nodes[0].start(None);
        let line = printed_line(&cluster.nodes[0]);
        let printed = cluster.nodes[0].printed();
        for words in ["listening on  [::]:5555", "reached at    10.77.0.1:5555", "reached at    [fd77::1]:5555"] {
            assert!(printed.contains(words), "it does not print {words:?}");
        }
        // Clients of both families, and a node of each.
        let (v4, v6) = (at(&lan.machines[0]), SocketAddr::from((lan.machines[0].ip6(), PORT)));
        for (i, address) in [v4, v6].into_iter().enumerate() {
            lan.machines[2].run(|| {
                let mut client = wait_for("a connection", || Client::connect(address, Codec::Json).ok());
                client.signup(&format!("ann{i}")).unwrap();
            });
        }
        let code = line.last().unwrap();
        let v6 = v6.to_string();
        let node = on(&cluster, &lan.machines[1], "n2", &["--peers", &v6, "--join-code", code]);
        cluster.nodes.push(node);
        cluster.nodes[1].start(None);
        let line = printed_line(&cluster.nodes[1]);
        assert!(line.contains(&"[fd77::2]:5555".to_owned()), "{line:?}");
        let node =
            on(&cluster, &lan.machines[2], "n3", &["--peers", "10.77.0.2:5555", "--join-code", line.last().unwrap()]);
        cluster.nodes.push(node);
        cluster.nodes[2].start(None);
        cluster.wait_voters(3);
        let expected = ["10.77.0.1:5555", "[fd77::2]:5555", "10.77.0.3:5555"];
        wait_listed(&cluster, &expected.map(str::to_owned));
        // Only what comes over the loopback may do without TLS, in either family.
        for local in [SocketAddr::from(([127, 0, 0, 1], PORT)), "[::1]:5555".parse().unwrap()] {
            lan.machines[1].run(|| Client::connect(local, Codec::Json)).unwrap();
        }
        for far in [v4, "[fd77::1]:5555".parse().unwrap()] {
            let far = SocketAddr::new(
                if far.is_ipv4() { lan.machines[1].ip().into() } else { lan.machines[1].ip6().into() },
                PORT,
            );
            assert!(lan.machines[2].run(|| Client::connect(far, Codec::Json)).is_err(), "{far} served without TLS");
        }
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn a_cable_address_joins_with_an_advertised_one_and_is_refused_before_the_code_is_used() {
    on_separate_machines("a_cable_address_joins_with_an_advertised_one_and_is_refused_before_the_code_is_used", || {
        let lan = Lan::new(2);
        let mut cluster = Cluster::empty();
        let node = on(&cluster, &lan.machines[0], "n1", &[]);
        cluster.nodes.push(node);
        cluster.nodes[0].start(None);
        let line = printed_line(&cluster.nodes[0]);
        let code = line.last().unwrap();
        let peer = format!("[{}%eth0]:5555", lan.machines[0].link_local());
        lan.machines[1].link_local();
        // A cable's address as the advertised one is of no use to the others.
        let own = format!("[{}]:5555", lan.machines[1].link_local());
        for advertise in [own.as_str(), "[fe80::1%eth0]:5555", "169.254.1.1:5555"] {
            let words = ["--peers", &peer, "--join-code", code, "--advertise", advertise];
            let output = on(&cluster, &lan.machines[1], "n2", &words).run_to_end(None);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains("--advertise"), "{said}");
            assert!(said.contains("on its own cable"), "{said}");
        }
        // The way there may be one, and then another address of this machine is told.
        let node = on(&cluster, &lan.machines[1], "n2", &["--peers", &peer, "--join-code", code]);
        cluster.nodes.push(node);
        cluster.nodes[1].start(None);
        cluster.wait_voters(2);
        wait_listed(&cluster, &["10.77.0.1:5555".to_owned(), "10.77.0.2:5555".to_owned()]);
        cluster.stop();
    });
}
