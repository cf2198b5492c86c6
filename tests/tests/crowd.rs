//! Five thousand connections that say nothing cost little, hold nobody up, and are closed when their time is over.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::{PATIENCE, now, wait_until};
use wire::codec::Codec;

const CROWD: usize = 5_000;

/// Requests whose round trips are compared.
const PROBES: usize = 200;

/// Resident bytes of the node for each connection that it holds: its own record, the poller's, the table's.
const BYTES_PER_CONNECTION_MAX: u64 = 4096;

/// A slow machine is slow with and without a crowd; the crowd may add this.
const SLOWER_MAX: Duration = Duration::from_millis(50);

fn rss_bytes(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Median time of a request that is answered from the database.
fn median(client: &mut Client) -> Duration {
    let mut times: Vec<Duration> = (0..PROBES)
        .map(|_| {
            let asked = now();
            client.limit("alice").unwrap();
            asked.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[PROBES / 2]
}

#[test]
fn five_thousand_silent_connections_hold_nobody_up() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    let mut client = Client::connect(node.address(), Codec::Json).unwrap();
    client.signup("alice").unwrap();
    client.login("alice").unwrap();
    let alone = median(&mut client);
    let rss_before = rss_bytes(node);

    let crowd: Vec<TcpStream> =
        (0..CROWD).map(|_| TcpStream::connect(node.address()).expect("every one of them is let in")).collect();
    let crowded = median(&mut client);
    // How many of them the node still held at that moment: the first may have been sent away by then.
    let held = node.status().unwrap().clients.saturating_sub(1);
    let rss = rss_bytes(node).saturating_sub(rss_before);
    println!("{CROWD} silent connections, {held} held at once: {} bytes for each", rss / held.max(1));
    println!("a request takes {alone:?} alone and {crowded:?} beside them (median of {PROBES})");
    assert!(crowded < alone * 5 + SLOWER_MAX, "{alone:?} became {crowded:?}");
    assert!(rss < CROWD as u64 * BYTES_PER_CONNECTION_MAX, "{rss} bytes for {CROWD} connections");

    wait_until("the crowd has been sent away", || node.status().is_some_and(|status| status.clients == 1));
    for mut stream in crowd {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match tests::read_some(&mut stream, &mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("a silent connection was told {other:?}"),
        }
    }
    client.limit("alice").expect("who had said something is still there");
    assert!(!node.printed().contains("panicked at"));
    node.stop();
}
