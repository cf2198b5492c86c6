//! docs/wire.md is enough to write a client: one in Python, which reads the page's tables at run time, against the goldens
//! and on a real cluster.

use std::io::Write;
use std::process::Command;

use tests::cluster::{Cluster, run_to_end};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Runs a program of tests/python to its end, which must be a good one. Says so loudly where there is no Python.
fn python(test: &str, program: &str, args: &[&str]) {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        // Past the test runner, which keeps what passing tests print to itself.
        let _ = writeln!(std::io::stderr(), "\n{test}: NOT RUN, because the program `python3` is missing\n");
        return;
    }
    let mut command = Command::new("python3");
    // Nothing is left behind in the source tree.
    command.arg("-B").arg(format!("{ROOT}/tests/python/{program}")).args(args).current_dir(ROOT);
    let output = run_to_end(&mut command);
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} ended with {}:\n{said}{why}", output.status);
    println!("{said}");
}

#[test]
fn a_codec_made_of_the_page_reads_and_writes_every_golden() {
    python("a_codec_made_of_the_page_reads_and_writes_every_golden", "goldens.py", &["docs/wire.md", "snapshots/wire"]);
}

#[test]
fn a_client_made_of_the_page_chats_over_two_nodes() {
    let cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let leader = cluster.leader();
    let other = (leader + 1) % addresses.len();
    python(
        "a_client_made_of_the_page_chats_over_two_nodes",
        "check.py",
        &[&addresses[leader], &addresses[other], "docs/wire.md"],
    );
    cluster.settle();
    cluster.stop();
}
