//! One node: it starts, serves both codecs, idles, stops, and says what is wrong when it cannot.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::process::ExitStatus;

use tests::cluster::{Cluster, Node};
use tests::legacy_client::{CallError, Client};
use tests::{now, wait_until};
use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{HelloReply, LimitReply, Status};

/// Requests that one client sends before it reads the first reply: more than the server keeps unanswered.
const PIPELINED: usize = 3000;

#[test]
fn a_node_serves_both_codecs_and_stops_when_asked() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    for codec in Codec::LEGACY {
        let mut client = Client::open(address, codec).unwrap();
        let reply: HelloReply<String> = client.call_raw(&wire::legacy::Hello::new("c1")).unwrap();
        assert_eq!((reply.status, reply.message.as_str()), (Status::Connected, "Successfully connected as c1"));
    }
    let node = &cluster.nodes[0];
    let status = node.status().unwrap();
    assert_eq!((status.role.as_str(), status.leader.as_deref()), ("leader", Some("n1")));
    node.stop();
    assert!(!node.dir.join("admin.sock").exists(), "the administration socket is left behind");
}

#[test]
fn the_ready_line_tells_what_scripts_need() {
    let cluster = Cluster::empty();
    let node = cluster.new_node("alpha");
    let fields = node.start(None);
    for (key, value) in [("name", "alpha"), ("role", "leader"), ("data_dir", node.dir.to_str().unwrap())] {
        assert_eq!(fields.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(!fields["cluster"].is_empty());
    assert_ne!(node.address().port(), 0, "a free port was chosen and told");
    node.stop();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    for (codec, name) in [(Codec::Json, "json"), (Codec::Samira1, "samira")] {
        let mut client = Client::connect(address, codec).unwrap();
        client.signup(name).unwrap();
        client.login(name).unwrap();
        let chat = client.start_chat(name, name).unwrap();
        let ask = client.encode(&Request::GetUserMessageLimit { username: name.into() });
        let mut burst = Vec::new();
        for i in 0..PIPELINED {
            // Reads between writes: each must see the writes before it, and none of those behind.
            match i % 10 {
                0 => {
                    let limit = (i / 10 + 1).to_string();
                    burst.extend(client.encode(&Request::SaveSettings {
                        username: name.into(),
                        message_limit: limit.as_str().into(),
                    }));
                }
                9 => burst.extend(&ask),
                _ => burst.extend(client.encode(&Request::SendChatMessage {
                    chat_id: chat.as_str().into(),
                    sender: name.into(),
                    content: "note to self".into(),
                })),
            }
        }
        client.send_bytes(&burst).unwrap();
        for i in 0..PIPELINED {
            if i % 10 == 9 {
                let reply: LimitReply<String, String> = client.receive().unwrap();
                assert_eq!(reply.message_limit, (i / 10 + 1).to_string(), "request {i}");
            } else {
                let reply: wire::legacy::reply::Outcome<String> = client.receive().unwrap();
                assert!(reply.success, "request {i}: {}", reply.error_message);
            }
        }
    }
}

#[test]
fn a_request_in_pieces_and_a_half_closed_client_are_served() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    for codec in Codec::LEGACY {
        let mut client = Client::open(address, codec).unwrap();
        let mut hello = client.encode(&wire::legacy::Hello::new("c1"));
        for byte in std::mem::take(&mut hello) {
            client.send_bytes(&[byte]).unwrap();
        }
        let reply: HelloReply<String> = client.receive().unwrap();
        assert_eq!(reply.status, Status::Connected);
        let last = client.encode(&Request::Unknown);
        client.send_bytes(&last).unwrap();
        client.finish().unwrap();
        let reply: wire::legacy::reply::Outcome<String> = client.receive().unwrap();
        assert_eq!(reply.error_message, "Invalid action");
        assert_eq!(client.receive_bytes().unwrap(), None, "then the end");
    }
}

#[test]
fn bad_bytes_end_only_their_own_connection() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    let mut other = Client::connect(address, Codec::Json).unwrap();
    other.signup("other").unwrap();
    for garbage in [b"{]".as_slice(), b"\x07\xff\xff\xff\xff\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0"] {
        let mut client = Client::open(address, Codec::Json).unwrap();
        client.send_bytes(garbage).unwrap();
        client.finish().unwrap();
        // An answer in words where there is a codec to say it in; then the end.
        while matches!(client.receive_bytes(), Ok(Some(_))) {}
    }
    other.login("other").unwrap();
    let node = &cluster.nodes[0];
    wait_until("only one client to be left", || node.status().is_some_and(|status| status.clients == 1));
}

#[test]
fn more_clients_than_configured_are_told_so() {
    let cluster = Cluster::empty();
    let mut node = cluster.new_node("n1");
    node.args = ["--max-clients".into(), "2".into()].into();
    node.start(None);
    let served: Vec<_> = (0..2).map(|_| Client::connect(node.address(), Codec::Json).unwrap()).collect();
    for codec in Codec::LEGACY {
        match Client::connect(node.address(), codec) {
            Err(CallError::Refused(text)) => assert_eq!(text, "Server at maximum capacity"),
            _ => panic!("a third client was served"),
        }
    }
    drop(served);
    wait_until("a place to be free", || Client::connect(node.address(), Codec::Samira1).is_ok());
    node.stop();
}

#[test]
fn an_idle_node_uses_no_processor_time() {
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    let _idle: Vec<_> = (0..50).map(|_| Client::connect(node.address(), Codec::Json).unwrap()).collect();
    // Its start has to be over: the greeting commits a join code.
    wait_until("the greeting", || node.printed().contains("--join-code"));
    let pid = fs::read_link("/proc/self").is_ok().then(|| node.pid());
    let pid = pid.expect("Linux");
    let (began, before) = (now(), ticks(pid));
    let mut used = 0;
    wait_until("two seconds to pass", || {
        used = ticks(pid) - before;
        began.elapsed().as_secs() >= 2
    });
    // Ticks are hundredths of a second: 3 % of one processor, with an unoptimised build.
    assert!(used <= 6, "{used} ticks of processor time in two idle seconds");
    cluster.nodes[0].stop();
}

/// Processor time of a process, user and system.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_node_that_cannot_start_says_why_and_what_to_do() {
    let mut cluster = Cluster::empty();
    let first = cluster.add_node();
    let port = first.address();
    let end = |node: &Node| {
        let output = node.run_to_end(None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status, said)
    };
    let check = |args: &[&str], code: i32, words: &str| {
        let mut node = cluster.new_node("other");
        node.args = args.iter().map(|arg| (*arg).into()).collect();
        let (status, said): (ExitStatus, String) = end(&node);
        assert_eq!(status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    };
    check(&["--frobnicate"], 2, "--frobnicate");
    check(&["--join-code", "not a code"], 2, "not a join code");
    let mut twin = cluster.new_node("twin");
    twin.set_address(port);
    let (status, said) = end(&twin);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("in use") && said.contains("--listen"), "{said}");
    let mut same_dir = cluster.new_node("n1");
    same_dir.args.clear();
    let (status, said) = end(&same_dir);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("n1"), "it names the directory: {said}");
}
