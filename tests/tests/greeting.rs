//! What a starting node tells the person in front of it, as the real binary prints it: `snapshots/start-up/*.txt`.
//! Addresses, names and codes of the run are replaced by words. `UPDATE_GOLDENS=1` writes the files anew.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

use tests::cluster::{Cluster, Join, Node};
use tests::wait_for;

/// The text of the last start.
fn last_greeting(node: &Node) -> String {
    let first = format!("Samira server {} of cluster", node.name);
    wait_for("the start-up text", || {
        let printed = node.printed();
        // It comes a moment behind the line by which a start is waited for, or not at all where the next start came first.
        let ready = printed.rfind("ready name=")?;
        let from = ready + printed[ready..].find(&first)?;
        let (begin, rest) = printed[from..].split_once('\n')?;
        let belongs = |line: &&str| {
            let text = line.starts_with("  ") || line.starts_with("To add") || line.starts_with("The code lets");
            text && !line.contains(" INFO ") && !line.contains(" WARN ")
        };
        let lines: Vec<_> = rest.lines().take_while(belongs).collect();
        // The last line of a first start, and of a later one.
        lines.last().filter(|line| line.starts_with("The code lets") || line.contains("prints the line to run"))?;
        Some(format!("{begin}\n{}\n", lines.join("\n")))
    })
}

/// What stands between `after` and the next of `ends`.
fn between<'t>(text: &'t str, after: &str, ends: &[char]) -> &'t str {
    let from = text.find(after).unwrap_or_else(|| panic!("no {after:?} in:\n{text}")) + after.len();
    text[from..].split(ends).next().unwrap().trim()
}

#[track_caller]
fn check(golden: &str, node: &Node, others: &[(&Node, &str)]) {
    let text = last_greeting(node);
    let port = node.address().port();
    let pin = between(&text, "#", &['\n']).to_owned();
    let mut normal = text.clone();
    if text.contains("--join-code ") {
        let code = between(&text, "--join-code ", &['\n']).to_owned();
        assert!(code.starts_with(&format!("{pin}-")), "the link's pin is that of the code");
        let next: u16 = between(&text, "--data-dir samira-data-", &[' ']).parse().unwrap();
        assert_ne!(next, port);
        normal = normal.replace(&code, "CODE").replace(&format!("{next}"), "NEXT-PORT");
    }
    normal = normal.replace(&pin, "PIN").replace(&tests::cluster::built("node").display().to_string(), "node");
    normal = normal.replace(&node.dir.display().to_string(), "DATA-DIR");
    for (other, name) in others {
        normal = normal.replace(&format!(":{}", other.address().port()), &format!(":{name}"));
    }
    normal = normal.replace(&format!(":{port}"), ":PORT");

    let term = between(&normal, ", term ", &['\n']).to_owned();
    normal = normal.replace(&format!(", term {term}"), ", term TERM");
    // A joiner may have been given its vote already.
    normal = normal.replace("role          follower", "role          learner");

    // Every address of this machine that is not loopback, and no other; then as if there were one.
    let interfaces = if_addrs::get_if_addrs().unwrap();
    let foreign = interfaces.iter().filter(|interface| !interface.is_loopback() && !interface.is_link_local());
    let mut expected: Vec<_> = foreign.map(if_addrs::Interface::ip).collect();
    let reached = |line: &&str| line.trim_start().starts_with("reached at");
    if normal.contains("listening on  0.0.0.0") {
        expected.retain(std::net::IpAddr::is_ipv4);
        let own = normal.lines().filter(reached).map(|line| line.replace("reached at", "").trim().to_owned());
        let own: std::collections::BTreeSet<_> = own.collect();
        assert_eq!(own, expected.iter().map(|ip| format!("{ip}:PORT")).collect());
        let mut lines: Vec<_> = normal.lines().filter(|line| !reached(line)).map(ToOwned::to_owned).collect();
        lines.insert(2, "  reached at    ADDRESS:PORT, for every address of this machine".into());
        normal = lines.join("\n") + "\n";
        for ip in &expected {
            normal = normal.replace(&ip.to_string(), "ADDRESS");
        }
        normal = normal.replace("127.0.0.1", "ADDRESS");
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/start-up").join(golden);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, &normal).unwrap();
    }
    assert_eq!(normal, fs::read_to_string(path).unwrap(), "{golden}");
}

/// Another one joins, by the very line that the last one has printed for other machines.
fn join_as_told(cluster: &mut Cluster, name: &str) {
    let text = last_greeting(cluster.nodes.last().unwrap());
    let join =
        Join { peer: between(&text, "--peers ", &[' ']).into(), code: between(&text, "--join-code ", &['\n']).into() };
    let mut joiner = cluster.new_node(name);
    joiner.set_address(([0, 0, 0, 0], 0).into());
    joiner.start(Some(&join));
    cluster.nodes.push(joiner);
}

#[test]
fn every_start_says_what_the_node_is_and_what_to_run_next() {
    let mut cluster = Cluster::empty();
    let mut founder = cluster.new_node("alpha");
    founder.set_address(([0, 0, 0, 0], 0).into());
    founder.start(None);
    cluster.nodes.push(founder);
    check("founder.txt", &cluster.nodes[0], &[]);

    join_as_told(&mut cluster, "beta");
    check("joiner.txt", &cluster.nodes[1], &[(&cluster.nodes[0], "FOUNDER-PORT")]);

    // Of two servers a joiner warns, of three it does not, whether they have their votes yet or not.
    join_as_told(&mut cluster, "gamma");
    let text = last_greeting(&cluster.nodes[2]);
    assert!(!text.contains("WARNING"), "{text}");
    cluster.stop();

    // Alone again, on the addresses it had.
    let mut lone = Cluster::empty();
    let address = lone.add_node().address();
    lone.nodes[0].stop();
    lone.nodes[0].start(None);
    assert_eq!(lone.nodes[0].address(), address);
    check("restarted.txt", &lone.nodes[0], &[]);
    lone.stop();
}
