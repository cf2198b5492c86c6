//! Separate machines: addresses of their own, lines typed as they were printed, and a network that breaks.

use std::net::SocketAddr;

use tests::cluster::Cluster;
use tests::legacy_client::{Call, CallError, Client};
use tests::machines::{PORT, addresses, at, cluster_on, on, printed_line};
use tests::netns::{Lan, Machine, on_separate_machines};
use tests::oracle::{Ledger, Told};
use tests::wait_until;
use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{Chat, ChatsReply};

fn connect(from: &Machine, to: &Machine, codec: Codec, name: &str) -> Call<Client> {
    from.run(|| Client::logged_in(at(to), codec, name))
}

#[test]
fn three_machines_join_by_the_printed_lines_and_serve_a_fourth() {
    on_separate_machines("three_machines_join_by_the_printed_lines_and_serve_a_fourth", || {
        let lan = Lan::new(4);
        // An address that leads nowhere, and that comes first in any order.
        for machine in &lan.machines[..3] {
            machine.add_address("10.5.0.1/24", "docker0");
        }
        let cluster = cluster_on(&lan, 3);
        let expected: Vec<String> = lan.machines[..3].iter().map(|machine| at(machine).to_string()).collect();
        for node in &cluster.nodes {
            assert_eq!(addresses(node), expected);
        }
        for (node, address) in cluster.nodes.iter().zip(&expected) {
            let printed = node.printed();
            for line in [format!("reached at    {address}"), format!("samira://{address}#")] {
                assert!(printed.contains(&line), "{} does not print `{line}`", node.name);
            }
        }
        let client = &lan.machines[3];
        let mut first = client.run(|| Client::connect(at(&lan.machines[0]), Codec::Json)).unwrap();
        first.signup("ann").unwrap();
        first.login("ann").unwrap();
        let chat = first.start_chat("ann", "ann").unwrap();
        for (i, machine) in lan.machines[..3].iter().enumerate() {
            let mut here = connect(client, machine, Codec::LEGACY[i % 2], "ann").unwrap();
            here.send(&chat, "ann", &format!("by way of {}", i + 1)).unwrap();
        }
        assert_eq!(first.messages(&chat, "ann").unwrap().len(), 3);
        cluster.settle();
        cluster.stop();
    });
}

#[test]
fn plain_clients_of_other_machines_are_told_how_to_be_let_in() {
    on_separate_machines("plain_clients_of_other_machines_are_told_how_to_be_let_in", || {
        let lan = Lan::new(2);
        let mut cluster = Cluster::empty();
        let node = on(&cluster, &lan.machines[0], "n1", &[]);
        cluster.nodes.push(node);
        cluster.nodes[0].start(None);
        for codec in Codec::LEGACY {
            match lan.machines[1].run(|| Client::connect(at(&lan.machines[0]), codec)) {
                Err(CallError::Refused(text)) => {
                    assert!(text.contains("start the node with --plaintext any"), "{text}")
                }
                other => panic!("{codec:?}: {:?}", other.map(|_| "let in")),
            }
            let local = SocketAddr::from(([127, 0, 0, 1], PORT));
            lan.machines[0].run(|| Client::connect(local, codec)).unwrap();
        }
        cluster.stop();
    });
}

#[test]
fn advertised_addresses_are_the_ones_others_use() {
    on_separate_machines("advertised_addresses_are_the_ones_others_use", || {
        let lan = Lan::new(3);
        lan.machines[0].add_address("10.77.0.101/24", "eth0");
        lan.machines[2].add_address("10.77.0.103/24", "eth0");
        let mut cluster = Cluster::empty();
        let node = on(&cluster, &lan.machines[0], "n1", &["--advertise", "10.77.0.101:5555"]);
        cluster.nodes.push(node);
        cluster.nodes[0].start(None);
        let line = printed_line(&cluster.nodes[0]);
        assert!(line.contains(&"10.77.0.101:5555".to_owned()), "{line:?}");

        // Told nothing: the address it comes from. Another port than the default, as its line would have it.
        let mut words: Vec<&str> = line.iter().map(String::as_str).collect();
        words.extend(["--listen", "0.0.0.0:6000"]);
        let node = on(&cluster, &lan.machines[1], "n2", &words);
        cluster.nodes.push(node);
        cluster.nodes[1].start(None);
        let line = printed_line(&cluster.nodes[1]);
        assert!(line.contains(&"10.77.0.2:6000".to_owned()), "{line:?}");

        let mut words: Vec<&str> = line.iter().map(String::as_str).collect();
        words.extend(["--advertise", "10.77.0.103:5555"]);
        let node = on(&cluster, &lan.machines[2], "n3", &words);
        cluster.nodes.push(node);
        cluster.nodes[2].start(None);
        cluster.wait_voters(3);
        let expected = ["10.77.0.101:5555", "10.77.0.2:6000", "10.77.0.103:5555"];
        for node in &cluster.nodes {
            assert_eq!(addresses(node), expected);
        }
        // Everybody reaches everybody there.
        wait_until("all links", || {
            cluster.nodes.iter().all(|node| {
                let list = node.admin("members").unwrap();
                list["members"].as_array().unwrap().iter().all(|member| member["connected"] == true)
            })
        });
        // Kept over a restart that does not repeat it.
        cluster.nodes[2].stop();
        cluster.nodes[2].typed = Some(Vec::new());
        cluster.nodes[2].start(None);
        cluster.wait_voters(3);
        assert_eq!(addresses(&cluster.nodes[0]), expected);
        cluster.stop();
    });
}

/// One person's place to send from, and the ledger of what became of it.
struct Talker<'l> {
    client: Client,
    chat: String,
    ledger: &'l Ledger,
    sent: usize,
    place: &'static str,
}

impl<'l> Talker<'l> {
    fn new(mut client: Client, ledger: &'l Ledger, place: &'static str) -> Self {
        let chat = client.start_chat("ann", "ann").expect("a serving cluster");
        Talker { client, chat, ledger, sent: 0, place }
    }

    fn send(&mut self) -> Call<()> {
        self.sent += 1;
        let text = format!("{} {}", self.place, self.sent);
        self.ledger.record(&text, || self.client.send(&self.chat, "ann", &text))
    }
}

#[test]
fn a_leader_cut_off_alone_refuses_while_the_others_go_on_and_one_history_remains() {
    on_separate_machines("a_leader_cut_off_alone_refuses_while_the_others_go_on_and_one_history_remains", || {
        let lan = Lan::new(4);
        let cluster = cluster_on(&lan, 3);
        let old = cluster.leader();
        let (inside, outside) = (&lan.machines[old], &lan.machines[3]);
        let ledger = Ledger::default();
        inside.run(|| Client::connect(at(inside), Codec::Json)).unwrap().signup("ann").unwrap();
        let mut minority = Talker::new(connect(inside, inside, Codec::Json, "ann").unwrap(), &ledger, "alone");
        minority.send().unwrap();

        lan.cut_off(&[old]);
        // Nobody can tell what becomes of the first one; it must not be called stored.
        minority.send().unwrap_err();
        let others = || cluster.nodes.iter().enumerate().filter(move |(i, _)| *i != old);
        wait_until("the others to elect a leader", || {
            others().any(|(_, node)| node.status().is_some_and(|status| status.role == "leader"))
        });
        for (i, _) in others() {
            let client = connect(outside, &lan.machines[i], Codec::Samira1, "ann").unwrap();
            let place = if i == 0 {
                "by 1"
            } else if i == 1 {
                "by 2"
            } else {
                "by 3"
            };
            let mut majority = Talker::new(client, &ledger, place);
            (0..10).for_each(|_| majority.send().unwrap());
        }

        // Once it knows that it is alone, it does not even try: refused means not stored.
        wait_until("the cut off leader to miss the others", || {
            let list = cluster.nodes[old].admin("members").unwrap();
            list["members"].as_array().unwrap().iter().filter(|member| member["connected"] == true).count() == 1
        });
        match minority.send() {
            Err(CallError::Refused(text)) => {
                assert!(text.contains("1 of 3") && !text.contains("may or may not"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        // What it shows is old, and marked so.
        let chats: ChatsReply<Vec<Chat<String>>, String> =
            minority.client.call_raw(&Request::GetChats { user_id: "ann".into() }).unwrap();
        assert!(chats.success && chats.stale);

        let (_, one) = others().next().unwrap();
        let term = one.status().unwrap().term;
        lan.reconnect(&[old]);
        wait_until("the old leader to follow", || {
            cluster.nodes[old].status().is_some_and(|status| status.role == "follower" && status.leader.is_some())
        });
        wait_until("writes by way of the old leader", || minority.send().is_ok());
        assert_eq!(one.status().unwrap().term, term, "the returning leader disturbed the others");
        cluster.wait_voters(3);
        cluster.settle();
        cluster.stop();
        assert!(ledger.count(Told::Stored) >= 22);
        ledger.check(&cluster.nodes);
    });
}

#[test]
fn a_follower_that_was_cut_off_comes_back_without_an_election() {
    on_separate_machines("a_follower_that_was_cut_off_comes_back_without_an_election", || {
        let lan = Lan::new(4);
        let cluster = cluster_on(&lan, 3);
        let away = cluster.follower();
        let before = cluster.nodes[away].status().unwrap().term;
        let leader = cluster.nodes[cluster.leader()].name.clone();
        lan.cut_off(&[away]);
        wait_until("it to say what it misses", || {
            cluster.nodes[away].admin("status").is_ok_and(|status| {
                let members = status["members"].as_array().unwrap();
                members.iter().filter(|member| member["connected"] == true).count() == 1
            })
        });
        // Reads are answered with what it has: enough of them take longer than many elections.
        let machine = &lan.machines[away];
        let mut client = machine.run(|| Client::connect(at(machine), Codec::Json)).unwrap();
        client.signup("ann").unwrap_err();
        assert_eq!(cluster.nodes[away].status().unwrap().term, before, "it stood for elections it could not win");

        lan.reconnect(&[away]);
        wait_until("its writes to be taken", || client.signup("ann").is_ok());
        cluster.wait_voters(3);
        cluster.settle();
        for node in &cluster.nodes {
            let status = node.status().unwrap();
            assert_eq!((status.term, status.leader.as_ref()), (before, Some(&leader)), "{}", node.name);
        }
        cluster.stop();
    });
}
