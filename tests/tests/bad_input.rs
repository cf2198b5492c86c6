//! Hostile bytes at every door of a running node: each is answered in words where its dialect has some, then closed;
//! nobody else notices, memory stays bounded, nothing panics.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tests::cluster::{Cluster, Node};
use tests::legacy_client::{Client, password};
use tests::{PATIENCE, wait_until};
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::legacy::{Hello, Request};
use wire::limits::{DELETE_INDICES_MAX, DEPTH_MAX, REQUEST_BYTES_MAX, WATCH_PREFACE};

/// Megabytes by which a node may grow over what one test does to it: its caches, and the allocator's habits.
const GROWTH_MB_MAX: u64 = 64;

/// First byte of TLS.
const TLS: u8 = 0x16;

/// One node, a well-behaved client on it, and what they looked like before.
struct Target {
    cluster: Cluster,
    witness: Client,
    chat: String,
    sent: usize,
    rss_mb: u64,
}

impl Target {
    fn start() -> Self {
        let mut cluster = Cluster::empty();
        let address = cluster.add_node().address();
        let mut witness = Client::connect(address, Codec::Json).unwrap();
        witness.signup("alice").unwrap();
        witness.signup("bob").unwrap();
        witness.login("alice").unwrap();
        let chat = witness.start_chat("alice", "bob").unwrap();
        let rss_mb = rss_mb(&cluster.nodes[0]);
        Self { cluster, witness, chat, sent: 0, rss_mb }
    }

    fn node(&self) -> &Node {
        &self.cluster.nodes[0]
    }

    fn address(&self) -> SocketAddr {
        self.node().address()
    }

    /// A connection that has not said anything.
    fn stranger(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The connection opened before everything else still works: reads and writes.
    fn nobody_noticed(&mut self) {
        self.sent += 1;
        let text = format!("still here {}", self.sent);
        self.witness.send(&self.chat, "alice", &text).unwrap();
        assert_eq!(self.witness.chats("alice").unwrap().len(), 1);
    }

    /// The end of a test: alive, small, and without a panic.
    fn check(mut self, what: &str) {
        self.nobody_noticed();
        let node = self.node();
        wait_until("the strangers are gone", || node.status().is_some_and(|status| status.clients == 1));
        let now = rss_mb(node);
        println!("{what}: resident {} MB before, {now} MB behind", self.rss_mb);
        assert!(now < self.rss_mb + GROWTH_MB_MAX, "{what}: {} MB became {now} MB", self.rss_mb);
        assert!(!node.printed().contains("panicked at"), "{what}: a panic");
        node.stop();
    }
}

/// Memory of a node that is not shared with others, from the system.
fn rss_mb(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Sends all, shuts our side, and returns what came back before the end. That the server has closed already, or resets
/// the connection because it did not want the rest, is an end like any other.
fn exchange(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut got = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        match tests::read_some(&mut stream, &mut chunk) {
            Ok(0) => return got,
            Ok(count) => got.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return got,
            Err(error) => panic!("the connection was left open: {error}"),
        }
    }
}

fn encode(codec: Codec, message: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_to_vec(message, &mut bytes).unwrap();
    bytes
}

fn hello(codec: Codec) -> Vec<u8> {
    encode(codec, &Hello::new("stranger"))
}

/// Everything that was answered, as text. Each reply must be a whole message of the codec.
fn replies(codec: Codec, mut bytes: &[u8]) -> Vec<String> {
    let mut splitter = Splitter::new(codec);
    let mut replies = Vec::new();
    while let Some(len) = splitter.push(bytes).expect("replies are messages") {
        let mut reply = bytes[..len].to_vec();
        codec.decode::<IgnoredAny>(&mut reply).expect("replies are whole");
        replies.push(String::from_utf8_lossy(&bytes[..len]).into_owned());
        bytes = &bytes[len..];
    }
    // The last reply in JSON ends its line.
    assert!(bytes.is_empty() || (codec == Codec::Json && bytes == b"\n"), "a reply was cut off: {bytes:02x?}");
    replies
}

/// One of each action, and what it says when it is right.
fn requests() -> Vec<Value> {
    vec![
        json!({"action": "signup", "username": "carol", "nickname": "C", "password": password("carol")}),
        json!({"action": "login", "username": "alice", "password": password("alice")}),
        json!({"action": "start_chat", "current_user": "alice", "other_user": "bob"}),
        json!({"action": "send_chat_message", "chat_id": "alice_bob", "sender": "alice", "content": "hi \u{e9}\u{1f525}"}),
        json!({"action": "get_messages", "chat_id": "alice_bob", "current_user": "alice"}),
        json!({"action": "get_chats", "user_id": "alice"}),
        json!({"action": "get_all_users", "exclude_username": "alice"}),
        json!({"action": "get_users_to_display", "exclude_username": "alice", "current_user": "alice",
               "search_pattern": "b", "page": 1, "users_per_page": 5}),
        json!({"action": "update_view_limit", "username": "alice", "new_limit": 7}),
        json!({"action": "save_settings", "username": "alice", "message_limit": "7"}),
        json!({"action": "get_user_message_limit", "username": "alice"}),
        json!({"action": "delete_messages", "chat_id": "alice_bob", "message_indices": [99], "current_user": "alice"}),
        json!({"action": "delete_chats", "chat_ids": ["alice_bob"], "current_user": "alice"}),
        json!({"action": "delete_user", "username": "carol"}),
    ]
}

#[test]
fn every_action_is_in_the_table() {
    let requests = requests();
    let mut actions: Vec<_> = requests.iter().map(|request| request["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    let mut known = Request::ACTIONS.to_vec();
    known.sort_unstable();
    assert_eq!(actions, known);
}

#[test]
fn bytes_that_are_no_request_are_answered_in_words_and_closed() {
    let mut target = Target::start();
    let deep = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth), "1");
    let mut deep_samira = vec![];
    (0..=DEPTH_MAX).for_each(|_| deep_samira.extend_from_slice(b"\x07\0\0\0\x01\0\x01a"));
    let long = format!("{{\"action\": \"{}\"}}", "x".repeat(REQUEST_BYTES_MAX));
    let cases: Vec<(&str, Codec, Vec<u8>, &str)> = vec![
        ("garbage", Codec::Json, b"\x00\xff\x00\xff".to_vec(), "Malformed message"),
        ("garbage", Codec::Samira1, b"\x00\xff\x00\xff".to_vec(), "Malformed message"),
        ("text", Codec::Json, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "Malformed message"),
        ("the other codec", Codec::Json, hello(Codec::Samira1), "Malformed message"),
        ("the other codec", Codec::Samira1, hello(Codec::Json), "Malformed message"),
        ("an array", Codec::Json, b"[1, 2]".to_vec(), "Malformed message"),
        ("a number as key", Codec::Json, b"{1: 2}".to_vec(), "Malformed message"),
        ("a lone surrogate", Codec::Json, br#"{"action": "\ud800"}"#.to_vec(), "Malformed message"),
        ("a bad escape", Codec::Json, br#"{"action": "\x"}"#.to_vec(), "Malformed message"),
        ("a control character", Codec::Json, b"{\"action\": \"\x01\"}".to_vec(), "Malformed message"),
        ("bad UTF-8 in a value", Codec::Json, b"{\"action\": \"\xff\"}".to_vec(), "not UTF-8"),
        ("bad UTF-8 in a key", Codec::Json, b"{\"\xc3\x28\": 1}".to_vec(), "not UTF-8"),
        ("bad UTF-8", Codec::Samira1, b"\x07\0\0\0\x01\0\x06action\x01\0\0\0\x01\xff".to_vec(), "not UTF-8"),
        ("deep nesting", Codec::Json, deep(DEPTH_MAX + 1).into_bytes(), "nesting depth"),
        ("100 000 levels", Codec::Json, b"{\"a\": ".iter().copied().chain([b'['; 100_000]).collect(), "nesting depth"),
        ("deep nesting", Codec::Samira1, deep_samira, "nesting depth"),
        ("2^32 - 1 pairs", Codec::Samira1, b"\x07\xff\xff\xff\xff".to_vec(), "item count"),
        ("2^32 - 1 items", Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x06\xff\xff\xff\xff".to_vec(), "item count"),
        ("a text of 4 GiB", Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x01\xff\xff\xff\xff".to_vec(), "message size"),
        ("an unknown tag", Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x08".to_vec(), "malformed tag"),
        ("a request without end", Codec::Json, long.into_bytes(), "message size"),
    ];
    for (what, codec, bytes, words) in &cases {
        let said = exchange(target.stranger(), &[hello(*codec), bytes.clone()].concat());
        let said = replies(*codec, &said);
        assert_eq!(said.len(), 2, "{what} in {codec:?}: a welcome and a reason: {said:?}");
        assert!(said[1].contains(words), "{what} in {codec:?}: no {words:?} in {said:?}");
        target.nobody_noticed();
    }
    // The same as the first thing on a connection, in a codec that its first byte has chosen.
    for (what, codec, bytes, words) in
        cases.iter().filter(|(_, codec, bytes, _)| Codec::sniff(bytes[0]) == Some(*codec))
    {
        let said = replies(*codec, &exchange(target.stranger(), bytes));
        assert!(said.len() == 1 && said[0].contains(words), "{what} first, in {codec:?}: {said:?}");
    }
    target.check("no requests");
}

#[test]
fn a_first_byte_that_is_nobodys_is_closed_without_a_word() {
    let mut target = Target::start();
    let known = |first| matches!(Codec::sniff(first), Some(Codec::Json | Codec::Samira1)) || first == WATCH_PREFACE;
    for first in (0..=u8::MAX).filter(|first| !known(*first)) {
        let said = exchange(target.stranger(), &[&[first][..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"].concat());
        // TLS has a word for it: an alert, fatal, 50 (decode error).
        let expected: &[u8] = if first == TLS { &[21, 3, 3, 0, 2, 2, 50] } else { b"" };
        assert_eq!(said, expected, "{first:#04x}");
    }
    target.nobody_noticed();
    // Who claims to be a node may wait for our end, and is told nothing, whatever it says.
    let mut watchers: Vec<TcpStream> = (0..100).map(|_| target.stranger()).collect();
    for watcher in &mut watchers {
        // Those beyond the bound are closed at once.
        let _ = watcher.write_all(&[WATCH_PREFACE]).and_then(|()| watcher.write_all(&hello(Codec::Json)));
    }
    let node = target.node();
    wait_until("watchers count as nobody", || node.status().is_some_and(|status| status.clients == 1));
    for watcher in watchers {
        assert_eq!(exchange(watcher, b"more"), b"");
    }
    target.check("strangers");
}

#[test]
fn a_request_cut_at_any_byte_does_nothing() {
    let mut target = Target::start();
    for codec in Codec::LEGACY {
        for request in requests() {
            let whole = encode(codec, &request);
            // Each cut on a connection of its own, many at a time: what was sent ends with the connection.
            for cuts in (1..whole.len()).collect::<Vec<_>>().chunks(64) {
                let mut streams: Vec<_> = cuts.iter().map(|_| target.stranger()).collect();
                for (stream, &cut) in streams.iter_mut().zip(cuts) {
                    stream.write_all(&[&hello(codec)[..], &whole[..cut]].concat()).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                for (stream, &cut) in streams.into_iter().zip(cuts) {
                    let said = replies(codec, &exchange(stream, b""));
                    assert_eq!(said.len(), 1, "{} cut at {cut} in {codec:?}: {said:?}", request["action"]);
                }
            }
        }
        target.nobody_noticed();
    }
    assert_eq!(target.witness.search("alice", "carol", 1, 5).unwrap(), Vec::<String>::new());
    target.check("cut requests");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_and_the_connection_goes_on() {
    let mut target = Target::start();
    let address = target.address();
    let many: Vec<usize> = (0..=DELETE_INDICES_MAX).collect();
    let wrong = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(2_147_483_647),
        json!(1.5),
        json!(-1e300),
        json!(""),
        json!("x".repeat(5000)),
        json!([]),
        json!(["a", 1, null, [], {}]),
        json!(many),
        json!({}),
        json!({"a": {"b": [1]}}),
    ];
    for codec in Codec::LEGACY {
        let mut client = Client::logged_in(address, codec, "alice").unwrap();
        let mut asked = 0;
        for request in requests() {
            let keys: Vec<String> = request.as_object().unwrap().keys().cloned().collect();
            for key in &keys {
                for value in &wrong {
                    let mut request = request.clone();
                    request[key] = value.clone();
                    client.send_bytes(&encode(codec, &request)).unwrap();
                    asked += 1;
                    let reply = client.receive_bytes().unwrap();
                    assert!(reply.is_some(), "{key} = {value} in {codec:?} closed the connection: {request}");
                }
                let mut request = request.clone();
                request.as_object_mut().unwrap().remove(key);
                client.send_bytes(&encode(codec, &request)).unwrap();
                assert!(client.receive_bytes().unwrap().is_some(), "no {key} in {codec:?}: {request}");
            }
        }
        println!("{asked} requests with a wrong value in {codec:?}");
        let unknown = json!({"action": "format_disk", "force": true});
        client.send_bytes(&encode(codec, &unknown)).unwrap();
        let reply = client.receive_bytes().unwrap().unwrap();
        assert!(String::from_utf8_lossy(&reply).contains("Invalid action"));
        // The session is as it was: refusals have not logged anybody out or in.
        client.send(&target.chat, "alice", "it goes on").unwrap();
        target.nobody_noticed();
    }
    target.check("wrong values");
}

#[test]
fn ten_thousand_requests_in_one_segment_are_answered_in_order() {
    const COUNT: usize = 10_000;
    let mut target = Target::start();
    for codec in Codec::LEGACY {
        let request = encode(codec, &json!({"action": "no_such_action"}));
        let mut writer = target.stranger();
        let reader = writer.try_clone().unwrap();
        writer.write_all(&hello(codec)).unwrap();
        let all = request.repeat(COUNT);
        let sending =
            std::thread::spawn(move || writer.write_all(&all).and_then(|()| writer.shutdown(Shutdown::Write)));
        // Somebody else is served meanwhile.
        target.nobody_noticed();
        let said = replies(codec, &read_to_end(reader));
        sending.join().unwrap().unwrap();
        assert_eq!(said.len(), 1 + COUNT, "{codec:?}");
        assert!(said[1..].iter().all(|reply| reply.contains("Invalid action")), "{codec:?}");
    }
    target.check("10 000 requests");
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    got
}

#[test]
fn a_client_that_never_reads_stops_being_read_from() {
    let mut target = Target::start();
    let mut greedy: Vec<TcpStream> = (0..8).map(|_| target.stranger()).collect();
    // Until the node takes no more from it: its replies wait, and so do its requests, in the kernel.
    let requests = encode(Codec::Json, &json!({"action": "no_such_action"})).repeat(1000);
    for stream in &mut greedy {
        stream.write_all(&hello(Codec::Json)).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 50 {
        quiet += 1;
        for stream in &mut greedy {
            match stream.write(&requests) {
                Ok(count) => {
                    sent += count;
                    quiet = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("closed before its time is over: {error}"),
            }
        }
        // The round trip of another client is the pause in which the node could have read more.
        target.nobody_noticed();
        assert!(sent < 512 << 20, "{sent} bytes, and it still reads");
    }
    println!("{} MB were taken from 8 clients that never read", sent >> 20);
    drop(greedy);
    target.check("clients that never read");
}

#[test]
fn a_slow_request_is_served() {
    let mut target = Target::start();
    for codec in Codec::LEGACY {
        let mut slow = Client::open(target.address(), codec).unwrap();
        let request = encode(codec, &json!({"action": "no_such_action"}));
        // One byte, one round trip of somebody else, one byte.
        for byte in [hello(codec), request].concat() {
            slow.send_bytes(&[byte]).unwrap();
            target.nobody_noticed();
        }
        for _ in 0..2 {
            assert!(slow.receive_bytes().unwrap().is_some());
        }
    }
    target.check("one byte at a time");
}

/// Bytes that are different each time and the same in each run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn datagrams_from_strangers_are_thrown_away() {
    let mut target = Target::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(target.address()).unwrap();
    // A full socket buffer, or an answer that was refused, is the network's way of losing a packet.
    let send = |bytes: &[u8]| drop(socket.send(bytes));
    for seed in 0..2000 {
        send(&noise(seed, (seed as usize * 7) % 1400));
        // The fixed bit and a long header: Initial, 0-RTT, Handshake and Retry of version 1, with noise behind.
        for kind in 0..4u8 {
            let long = [&[0xc0 | kind << 4 | (seed as u8 & 0x0f), 0, 0, 0, 1, 8], &noise(seed, 1300)[..]].concat();
            send(&long[..long.len() - (seed as usize % 1290)]);
        }
        // A short header, and versions nobody speaks.
        send(&[&[0x40 | seed as u8], &noise(seed, 40)[..]].concat());
        send(&[&[0xff, 0xfa, 0xce, 0xb0, 0x0c, 20], &noise(seed, 1250)[..]].concat());
        if seed % 200 == 0 {
            target.nobody_noticed();
        }
    }
    // Well-formed enough to begin a handshake, which then never goes on: 2000 of them, with connection ids of their own.
    for seed in 0..2000u64 {
        let mut initial = vec![0xc3, 0, 0, 0, 1, 8];
        initial.extend(noise(seed, 8));
        initial.extend([8]);
        initial.extend(noise(seed + 1, 8));
        initial.extend([0, 0x44, 0x9e]);
        initial.extend(noise(seed + 2, 1182));
        send(&initial);
    }
    target.check("datagrams");
}

#[test]
fn the_administration_socket_stands_anything() {
    let target = Target::start();
    let path = target.node().dir.join("admin.sock");
    let ask = |bytes: &[u8]| -> String {
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        // It may hang up before it has heard all.
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        match socket.read_to_end(&mut said) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("left open: {error}"),
            _ => String::from_utf8(said).unwrap(),
        }
    };
    let lines: &[&[u8]] = &[
        b"\n",
        b"garbage\n",
        b"{}\n",
        b"[]\n",
        b"{\"command\": \"format-disk\"}\n",
        b"{\"command\": 7}\n",
        b"{\"command\": \"status\"",
        b"\xff\xfe\xfd\n",
        b"\0\0\0\0\n",
    ];
    for line in lines {
        let said = ask(line);
        let reply: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line:?}: {said:?}"));
        assert!(reply["error"].as_str().is_some_and(|error| error.contains("not a request")), "{line:?}: {said}");
    }
    let nested = [b"{\"command\": ".repeat(300), b"\n".to_vec()].concat();
    let huge = [b"{\"command\": \"".to_vec(), vec![b'x'; 100_000], b"\"}\n".to_vec()].concat();
    for (what, bytes) in [("deep nesting", nested), ("a huge line", huge), ("an endless line", vec![b'x'; 64 << 20])] {
        let said = ask(&bytes);
        assert!(said.contains("\"error\""), "{what}: {said:?}");
    }
    // Several good requests on one connection are answered one by one.
    let said = ask(b"{\"command\": \"status\"}\n{\"command\": \"status\"}\n");
    assert_eq!(said.lines().filter(|line| line.contains("\"role\"")).count(), 2);
    // Whoever connects and says nothing takes a seat for a while, not for good.
    let silent: Vec<io::Result<UnixStream>> = (0..20).map(|_| UnixStream::connect(&path)).collect();
    assert!(target.node().admin("status").is_ok(), "administration is not taken hostage");
    drop(silent);
    target.check("administration");
}
