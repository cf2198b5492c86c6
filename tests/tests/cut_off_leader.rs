//! A leader that is cut off and comes back after the others have dropped what it missed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tests::cluster::Cluster;
use tests::legacy_client::{Call, Client};
use tests::netns::{Lan, Machine, on_separate_machines};
use tests::oracle::Ledger;
use tests::wait_until;
use wire::codec::Codec;

const PORT: u16 = 5555;

/// Entries that the others write while it is away: more than the log has then, see `LOG_ENTRIES`.
const MISSED: u64 = 600;

/// Connections that write them.
const WRITERS: usize = 4;

/// `SAMIRA_TEST_LOG_ENTRIES`.
const LOG_ENTRIES: &str = "128,256";

fn at(machine: &Machine) -> SocketAddr {
    (machine.ip(), PORT).into()
}

/// Three nodes on the first three machines.
fn cluster_on(lan: &Lan) -> Cluster {
    let mut machines = lan.machines.iter();
    Cluster::start_prepared(3, |node| {
        let machine = machines.next().expect("as many machines as nodes");
        node.set_address(at(machine));
        node.machine = Some(machine.clone());
        node.env.push(("SAMIRA_PLAINTEXT".into(), "any".into()));
        node.env.push(("SAMIRA_TEST_LOG_ENTRIES".into(), LOG_ENTRIES.into()));
    })
}

fn connect(from: &Machine, to: &Machine) -> Call<Client> {
    from.run(|| Client::logged_in(at(to), Codec::Json, "ann"))
}

#[test]
fn a_leader_that_caught_up_by_snapshot_takes_writes_when_it_leads_again() {
    on_separate_machines("a_leader_that_caught_up_by_snapshot_takes_writes_when_it_leads_again", || {
        let lan = Lan::new(4);
        let cluster = cluster_on(&lan);
        let old = cluster.leader();
        let (inside, outside) = (&lan.machines[old], &lan.machines[3]);
        inside.run(|| Client::connect(at(inside), Codec::Json)).unwrap().signup("ann").unwrap();
        let ledger = Ledger::default();
        let mut talker = connect(inside, inside).unwrap();
        let chat = talker.start_chat("ann", "ann").unwrap();

        let cut = AtomicBool::new(false);
        thread::scope(|scope| {
            for place in 0..2 {
                let (mut client, chat, ledger, cut) = (connect(inside, inside).unwrap(), &chat, &ledger, &cut);
                scope.spawn(move || {
                    for number in 0.. {
                        let text = format!("inside {place} {number}");
                        let sent = ledger.record(&text, || client.send(chat, "ann", &text));
                        if cut.load(Ordering::Relaxed) && sent.is_err() {
                            break;
                        }
                    }
                });
            }
            wait_until("load on the leader", || ledger.count(tests::oracle::Told::Stored) >= 20);
            // Whatever is under way now is in its log and in nobody else's.
            lan.cut_off(&[old]);
            cut.store(true, Ordering::Relaxed);
        });
        wait_until("the others to elect a leader", || {
            cluster
                .nodes
                .iter()
                .enumerate()
                .any(|(i, node)| i != old && node.status().is_some_and(|it| it.role == "leader"))
        });
        let others: Vec<usize> = (0..3).filter(|&i| i != old).collect();

        let newest = || cluster.nodes[others[0]].status().and_then(|it| it.last_log).expect("it has a log");
        let (before, enough) = (newest(), AtomicBool::new(false));
        thread::scope(|scope| {
            for place in 0..WRITERS {
                let mut client = connect(outside, &lan.machines[others[0]]).unwrap();
                let (chat, ledger, enough) = (&chat, &ledger, &enough);
                scope.spawn(move || {
                    for number in 0..MISSED {
                        if enough.load(Ordering::Relaxed) {
                            break;
                        }
                        let text = format!("missed {place} {number}");
                        ledger.record(&text, || client.send(chat, "ann", &text)).unwrap();
                    }
                });
            }
            // Writes that come together share an entry, so entries are what is counted.
            wait_until("enough entries", || newest() >= before + MISSED);
            enough.store(true, Ordering::Relaxed);
        });
        lan.reconnect(&[old]);
        wait_until("the old leader to follow", || cluster.nodes[old].status().is_some_and(|it| it.role == "follower"));
        cluster.settle();
        let sent = others.iter().any(|&i| cluster.nodes[i].printed().contains("sending a snapshot"));
        assert!(sent, "it caught up from the log");

        // Only it and the leader have the newest entry; without the leader nobody else can be elected.
        let interim = others.iter().copied().find(|&i| cluster.nodes[i].status().is_some_and(|it| it.role == "leader"));
        let interim = interim.expect("one of the others leads");
        let third = (0..3).find(|&i| i != old && i != interim).expect("three nodes");
        cluster.nodes[third].stop();
        let mut client = connect(outside, &lan.machines[interim]).unwrap();
        ledger.record("the newest", || client.send(&chat, "ann", "the newest")).unwrap();
        cluster.nodes[interim].kill();
        cluster.nodes[third].start(None);
        wait_until("the old leader to lead again", || {
            cluster.nodes[old].status().is_some_and(|it| it.role == "leader")
        });

        let mut client = connect(outside, &lan.machines[old]).unwrap();
        ledger.record("again", || client.send(&chat, "ann", "again")).expect("it leads and takes writes");
        let mut client = connect(outside, &lan.machines[third]).unwrap();
        ledger.record("forwarded", || client.send(&chat, "ann", "forwarded")).expect("and those of the others");
        cluster.nodes[interim].start(None);
        cluster.wait_voters(3);
        cluster.settle();
        cluster.stop();
        ledger.check(&cluster.nodes);
    });
}
