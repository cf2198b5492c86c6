//! docs/wire.md is enough to write a client: one in Python, which reads the page's tables at run time, against the goldens
//! and on a real cluster.

use std::process::Command;

use tests::cluster::Cluster;
use tests::{not_run, python};

/// Runs a program of tests/python to its end, which must be a good one. Says so loudly where there is no Python.
fn run(test: &str, program: &str, args: &[&str]) {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return not_run(test, "the program `python3` is missing");
    }
    python::run(program, &mut python::program("python3", program, args));
}

#[test]
fn a_codec_made_of_the_page_reads_and_writes_every_golden() {
    run("a_codec_made_of_the_page_reads_and_writes_every_golden", "goldens.py", &["docs/wire.md", "snapshots/wire"]);
}

#[test]
fn a_client_made_of_the_page_chats_over_two_nodes() {
    let cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let leader = cluster.leader();
    let other = (leader + 1) % addresses.len();
    run(
        "a_client_made_of_the_page_chats_over_two_nodes",
        "check.py",
        &[&addresses[leader], &addresses[other], "docs/wire.md"],
    );
    cluster.settle();
    cluster.stop();
}
