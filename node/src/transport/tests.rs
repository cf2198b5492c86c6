//! Real sockets on loopback against an echo in place of the service.

mod push;
mod tls;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use wire::chat::{self, FromClient, FromNode};
use wire::codec::Codec;
use wire::samira2::PREFACE;

use super::connection::Connection;
use super::poll_loop::PollLoop;
use super::refusal::Refusal;
use super::*;
use crate::bridge::{ConnId, Event, Outgoing, Turn};
use crate::cluster::identity::{DataDir, Names};
use crate::limits::{FRAME_TIMEOUT, OUTBOX_BYTES_MAX, PIPELINE_FRAMES_MAX, REFUSED_WAITING_MAX};
use crate::quic::tls::client_server;

/// Far more than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One SAMIRA/1 request: `{client_id: "c1", message: "connection_request"}`.
const SAMIRA_REQUEST: &[u8] =
    b"\x07\0\0\0\x02\0\x09client_id\x01\0\0\0\x02c1\0\x07message\x01\0\0\0\x12connection_request";

fn now() -> Instant {
    Clock.monotonic()
}

fn config() -> Config {
    Config { handshake_timeout: PATIENCE, stall_timeout: PATIENCE, ..Config::new(authority().server.clone()) }
}

/// A cluster's certificates, made once for all tests.
struct Cluster {
    ca: CertificateDer<'static>,
    id: String,
    server: Arc<rustls::ServerConfig>,
}

fn authority() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let names = Names { node: "a", cluster: "lab", address: "h:1".into(), advertise: None };
        let credentials = data.credentials(&data.found(names).unwrap()).unwrap();
        let server = client_server(&credentials).unwrap();
        Cluster { ca: credentials.ca, id: credentials.cluster_id, server }
    });
    &CLUSTER
}

/// What the echo does with a frame.
type Answer = fn(&[u8]) -> Vec<u8>;

struct Server {
    handle: Option<TransportHandle>,
    service: Option<thread::JoinHandle<Vec<&'static str>>>,
    stats: Stats,
    address: SocketAddr,
}

impl Server {
    fn start(config: Config) -> Self {
        Self::answering(config, <[u8]>::to_vec)
    }

    fn answering(config: Config, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (to_service, turns) = mpsc::channel(4);
        let (handle, replies) = start(config, listener, to_service).unwrap();
        let service = thread::spawn(move || echo(turns, &replies, answer));
        Self { stats: handle.stats(), address: handle.address(), handle: Some(handle), service: Some(service) }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// Stops everything and returns what the service saw, in order.
    fn stop(mut self) -> Vec<&'static str> {
        self.handle.take().unwrap().shutdown(PATIENCE);
        self.service.take().unwrap().join().unwrap()
    }
}

fn echo(mut turns: mpsc::Receiver<Turn>, replies: &Replies, answer: Answer) -> Vec<&'static str> {
    let mut seen = Vec::new();
    while let Some(turn) = turns.blocking_recv() {
        let mut batch = Vec::new();
        for event in turn.events {
            match event {
                Event::Opened { .. } | Event::Called { .. } => seen.push("opened"),
                Event::Frame { conn, range } => {
                    seen.push("frame");
                    batch.push(Outgoing::reply(conn, answer(&turn.bytes[range])));
                }
                Event::Malformed { conn, .. } => {
                    seen.push("malformed");
                    batch.push(Outgoing::reply(conn, b"bad".to_vec()).closing(true));
                }
                Event::Ended { .. } => seen.push("ended"),
                Event::Closed { .. } => seen.push("closed"),
            }
        }
        replies.send(batch);
    }
    seen
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !condition() {
        assert!(now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn expect(client: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == expected, "{} bytes differ from what was sent", got.len());
}

fn round_trip(client: &mut TcpStream, request: &[u8]) {
    client.write_all(request).unwrap();
    expect(client, request);
}

/// Everything up to the end of the connection; a reset counts as the end.
fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    match client.read_to_end(&mut got) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("not closed: {error}"),
        _ => got,
    }
}

fn json_of(length: usize) -> Vec<u8> {
    format!(r#"{{"client_id":"{}"}}"#, "x".repeat(length - 16)).into_bytes()
}

#[test]
fn both_codecs_are_served_on_one_port() {
    let server = Server::start(config());
    let (mut json, mut samira) = (server.client(), server.client());
    round_trip(&mut json, br#"{"client_id":"a"}"#);
    round_trip(&mut samira, SAMIRA_REQUEST);
    round_trip(&mut json, br#"{"action":"x"}"#);
    assert_eq!(server.stats.clients(), 2);
    drop((json, samira));
    wait_until("clients leave", || server.stats.clients() == 0);
    assert_eq!(server.stop().iter().filter(|event| **event == "closed").count(), 2);
}

#[test]
fn a_request_split_into_single_bytes_is_one_request() {
    let server = Server::start(config());
    for request in [br#"{"client_id": "\"}{"}"#.as_slice(), SAMIRA_REQUEST] {
        let mut client = server.client();
        for byte in request {
            client.write_all(&[*byte]).unwrap();
        }
        expect(&mut client, request);
        round_trip(&mut client, request);
    }
    wait_until("the pieces are freed", || server.stats.buffered_bytes() == 0);
    let frames = server.stop().iter().filter(|event| **event == "frame").count();
    assert_eq!(frames, 4);
}

/// A frame of SAMIRA/2.
fn samira2_request() -> Vec<u8> {
    let mut request = Vec::new();
    Codec::Samira2.encode_frame_to_vec(&FromClient { id: 7, request: None }, &mut request).unwrap();
    request
}

#[test]
fn samira_2_begins_with_a_preface_on_both_sides() {
    let server = Server::start(config());
    let request = samira2_request();
    let all = [&PREFACE[..], &request, &request].concat();
    let mut client = server.client();
    client.write_all(&all).unwrap();
    expect(&mut client, &all);
    round_trip(&mut client, &request);
    for cut in 1..all.len() {
        let mut client = server.client();
        client.write_all(&all[..cut]).unwrap();
        if cut >= PREFACE.len() {
            // It is answered before there is a frame.
            expect(&mut client, &PREFACE);
        }
        client.write_all(&all[cut..]).unwrap();
        expect(&mut client, &all[if cut >= PREFACE.len() { PREFACE.len() } else { 0 }..]);
    }
    let mut client = server.client();
    for byte in &all {
        client.write_all(&[*byte]).unwrap();
    }
    expect(&mut client, &all);
    wait_until("the pieces are freed", || server.stats.buffered_bytes() == 0);
    // Half a preface is no frame, and so its time is bounded.
    let server = Server::start(Config { handshake_timeout: Duration::from_millis(100), ..config() });
    for part in [&PREFACE[..3], &PREFACE] {
        let mut client = server.client();
        client.write_all(part).unwrap();
        assert_eq!(rest(&mut client), if part.len() == PREFACE.len() { part } else { b"" });
    }
}

#[test]
fn a_refused_client_of_samira_2_is_told_in_it() {
    let server = Server::start(Config { plaintext: Plaintext::Off, ..config() });
    let mut client = server.client();
    client.write_all(&PREFACE).unwrap();
    let said = rest(&mut client);
    let (preface, frame) = said.split_at(PREFACE.len());
    assert_eq!(preface, PREFACE);
    let mut frame = frame.to_vec();
    let body = wire::frame::body(Codec::Samira2, &mut frame);
    match Codec::Samira2.decode(body).unwrap() {
        FromNode::Event(Some(chat::Event::Bye(bye))) => assert_eq!(bye.code, chat::Code::PlaintextRefused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_feed_behind_a_request_begins_nothing() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.write_all(b" {}\r\n").unwrap();
    rig.turn_until(frame);
    rig.settle();
    assert_eq!((rig.poll_loop.timeout(), rig.shared.buffered_bytes.load(Relaxed)), (None, 0));
}

#[test]
fn joined_requests_are_answered_one_by_one_in_order() {
    let server = Server::start(config());
    let mut client = server.client();
    let requests: Vec<u8> = (0..10_000).flat_map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    let mut writer = client.try_clone().unwrap();
    let sent = requests.clone();
    let writer = thread::spawn(move || writer.write_all(&sent));
    expect(&mut client, &requests);
    writer.join().unwrap().unwrap();
    drop(client);
    assert_eq!(server.stop().iter().filter(|event| **event == "frame").count(), 10_000);
}

#[test]
fn a_request_of_the_largest_size_passes_and_one_byte_more_is_malformed() {
    let server = Server::start(config());
    let largest = json_of(wire::limits::REQUEST_BYTES_MAX);
    let mut client = server.client();
    round_trip(&mut client, &largest);
    let mut client = server.client();
    // The server may stop reading, and even close, before everything is out.
    let _ = client.write_all(&json_of(wire::limits::REQUEST_BYTES_MAX + READ_SLACK));
    let answer = rest(&mut client);
    assert!(answer == b"bad" || answer.is_empty(), "{} bytes", answer.len());
    drop(client);
    wait_until("buffers are freed", || server.stats.buffered_bytes() == 0);
    assert!(server.stop().contains(&"malformed"));
}

/// Enough over the bound that the end of the request is not in the segment that crosses it.
const READ_SLACK: usize = 2 * crate::limits::READ_BYTES_PER_TURN;

#[test]
fn a_client_that_shuts_its_sending_side_still_gets_its_replies() {
    let server = Server::start(config());
    let mut client = server.client();
    client.write_all(br#"{"a":1}{"b":2}"#).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), br#"{"a":1}{"b":2}"#);
    wait_until("the client has left", || server.stats.clients() == 0);
}

#[test]
fn an_unknown_first_byte_is_closed_without_a_word() {
    let server = Server::start(config());
    for first in [b"GET / HTTP/1.1\r\n".as_slice(), b"\xa2SM1", b"PRI * HTTP/2.0", b"\0"] {
        let mut client = server.client();
        client.write_all(first).unwrap();
        assert_eq!(rest(&mut client), b"", "{first:02x?}");
    }
    assert_eq!(server.stop(), [""; 0], "the service heard of nobody");
}

#[test]
fn bad_bytes_are_answered_behind_the_good_ones_and_harm_nobody_else() {
    let server = Server::start(config());
    let mut other = server.client();
    round_trip(&mut other, SAMIRA_REQUEST);
    let mut client = server.client();
    client.write_all(br#"{"a":1}]]]]{"b":2}"#).unwrap();
    assert_eq!(rest(&mut client), br#"{"a":1}bad"#);
    round_trip(&mut other, SAMIRA_REQUEST);
}

#[test]
fn a_reset_connection_frees_its_place_and_harms_nobody() {
    let server = Server::start(config());
    let mut other = server.client();
    round_trip(&mut other, SAMIRA_REQUEST);
    let mut client = server.client();
    client.write_all(br#"{"a":1}"#).unwrap();
    client.set_nonblocking(true).unwrap();
    wait_until("the reply is there", || client.peek(&mut [0]).is_ok());
    // Closing with an unread reply resets the connection.
    drop(client);
    wait_until("the place is free", || server.stats.clients() == 1);
    round_trip(&mut other, SAMIRA_REQUEST);
}

#[test]
fn a_surplus_client_is_told_in_its_own_codec() {
    let server = Server::start(Config { max_clients: 1, ..config() });
    let mut first = server.client();
    round_trip(&mut first, SAMIRA_REQUEST);
    for (request, codec) in [(SAMIRA_REQUEST, Codec::Samira1), (br#"{"client_id":"b"}"#.as_slice(), Codec::Json)] {
        let mut surplus = server.client();
        surplus.write_all(request).unwrap();
        assert_eq!(rest(&mut surplus), Refusal::Capacity.encode(codec));
    }
    round_trip(&mut first, SAMIRA_REQUEST);
    drop(first);
    wait_until("the place is free", || server.stats.clients() == 0);
    round_trip(&mut server.client(), SAMIRA_REQUEST);
}

#[test]
fn silent_surplus_connections_have_a_bound() {
    let server = Server::start(Config { max_clients: 1, ..config() });
    let mut first = server.client();
    round_trip(&mut first, SAMIRA_REQUEST);
    let waiting: Vec<_> = (0..REFUSED_WAITING_MAX).map(|_| server.client()).collect();
    assert_eq!(rest(&mut server.client()), b"", "closed although it had not said a word");
    drop(waiting);
    round_trip(&mut first, SAMIRA_REQUEST);
}

#[test]
fn plaintext_off_is_told_with_the_remedy() {
    let server = Server::start(Config { plaintext: Plaintext::Off, ..config() });
    let mut client = server.client();
    client.write_all(br#"{"client_id":"a"}"#).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&rest(&mut client)).unwrap();
    assert_eq!(answer["status"], "error");
    assert!(answer["message"].as_str().unwrap().contains("start the node with --plaintext any"));
    drop(client);
    assert_eq!(server.stop(), [""; 0]);
}

#[test]
fn silent_and_half_shaken_connections_are_closed_at_the_deadline() {
    let server = Server::start(Config { handshake_timeout: Duration::from_millis(100), ..config() });
    let mut shaken = server.client();
    round_trip(&mut shaken, SAMIRA_REQUEST);
    let mut silent = server.client();
    let mut half = server.client();
    half.write_all(&SAMIRA_REQUEST[..20]).unwrap();
    assert_eq!(rest(&mut silent), b"");
    assert_eq!(rest(&mut half), b"");
    round_trip(&mut shaken, SAMIRA_REQUEST);
    assert_eq!(server.stats.clients(), 1);
}

#[test]
fn a_client_that_never_reads_is_paused_then_closed() {
    let config = Config { stall_timeout: Duration::from_millis(200), ..config() };
    let server = Server::answering(config, |_| vec![b'x'; wire::limits::LEGACY_REPLY_BYTES_MAX]);
    let mut slow = server.client();
    let mut other = server.client();
    other.write_all(b"{}").unwrap();
    expect(&mut other, &[b'x'; wire::limits::LEGACY_REPLY_BYTES_MAX]);
    // Ends only when the server closes: it reads no more than a full pipeline ahead.
    let requests = b"{}".repeat(1 << 20);
    let error = (0..100).find_map(|_| slow.write_all(&requests).err()).expect("the server stops reading");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    wait_until("only the other is left", || server.stats.clients() == 1);
    assert_eq!(server.stats.buffered_bytes(), 0);
    other.write_all(b"{}").unwrap();
    expect(&mut other, &[b'x'; wire::limits::LEGACY_REPLY_BYTES_MAX]);
}

#[test]
fn shutdown_delivers_what_was_asked_and_closes_everybody() {
    let server = Server::start(config());
    let mut idle = server.client();
    round_trip(&mut idle, SAMIRA_REQUEST);
    let mut silent = server.client();
    let mut busy = server.client();
    busy.write_all(br#"{"a":1}"#).unwrap();
    wait_until("the request was read", || busy.peek(&mut [0]).is_ok());
    let seen = server.stop();
    assert_eq!(rest(&mut busy), br#"{"a":1}"#);
    assert_eq!(rest(&mut idle), b"");
    assert_eq!(rest(&mut silent), b"");
    assert_eq!(seen.iter().filter(|event| **event == "closed").count(), 2);
}

/// The poll loop driven by hand, with the service in the same thread.
struct Rig {
    poll_loop: PollLoop,
    turns: mpsc::Receiver<Turn>,
    replies: Replies,
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Rig {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = mio::Poll::new().unwrap();
        poll.registry().register(&mut listener, poll_loop::LISTENER, mio::Interest::READABLE).unwrap();
        let replies = Replies::new(mio::Waker::new(poll.registry(), poll_loop::WAKER).unwrap());
        let (to_service, turns) = mpsc::channel(64);
        let shared = Arc::new(Shared::default());
        let poll_loop = PollLoop::new(config(), shared.clone(), poll, listener, to_service, replies.clone());
        Self { poll_loop, turns, replies, shared, address }
    }

    /// Turns until the service has got an event that `wanted` picks.
    fn turn_until<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            assert_eq!(self.poll_loop.turn().unwrap(), poll_loop::Flow::Continue);
            while let Ok(turn) = self.turns.try_recv() {
                if let Some(found) = turn.events.iter().find_map(&wanted) {
                    return found;
                }
            }
        }
    }

    fn settle(&mut self) {
        while self.poll_loop.timeout() == Some(Duration::ZERO) {
            self.poll_loop.turn().unwrap();
        }
    }
}

fn frame(event: &Event) -> Option<ConnId> {
    if let Event::Frame { conn, .. } = event { Some(*conn) } else { None }
}

#[test]
fn an_idle_server_sleeps_without_a_timeout() {
    let mut rig = Rig::new();
    assert_eq!(rig.poll_loop.timeout(), None);
    let mut client = TcpStream::connect(rig.address).unwrap();
    rig.poll_loop.turn().unwrap();
    assert!(rig.poll_loop.timeout().is_some(), "a silent connection has a deadline");
    client.write_all(b"{}").unwrap();
    let conn = rig.turn_until(frame);
    rig.settle();
    assert_eq!(rig.poll_loop.timeout(), None, "a connection that waits for its reply has none");
    client.write_all(b"{").unwrap();
    wait_until("the incomplete frame is seen", || {
        rig.poll_loop.turn().unwrap();
        rig.poll_loop.timeout().is_some()
    });
    client.write_all(b"}").unwrap();
    rig.turn_until(frame);
    rig.replies.send(vec![Outgoing::reply(conn, vec![1])]);
    rig.poll_loop.turn().unwrap();
    rig.settle();
    assert_eq!(rig.poll_loop.timeout(), None);
    assert_eq!(rig.shared.buffered_bytes.load(Relaxed), 0);
}

#[test]
fn nodes_that_watch_see_the_end_only_when_the_last_client_is_gone() {
    let mut rig = Rig::new();
    let mut watcher = TcpStream::connect(rig.address).unwrap();
    watcher.write_all(&[wire::limits::WATCH_PREFACE]).unwrap();
    rig.poll_loop.turn().unwrap();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.write_all(b"{}").unwrap();
    let conn = rig.turn_until(frame);
    rig.shared.stop.set(PATIENCE).unwrap();
    rig.replies.wake();
    assert_eq!(rig.poll_loop.turn().unwrap(), poll_loop::Flow::Continue);
    watcher.set_nonblocking(true).unwrap();
    assert!(watcher.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "still watching");
    rig.replies.send(vec![Outgoing::reply(conn, b"bye".to_vec())]);
    rig.poll_loop.turn().unwrap();
    assert_eq!(rest(&mut client), b"bye");
    drop(client);
    wait_until("only watchers are left", || rig.poll_loop.turn().unwrap() == poll_loop::Flow::Stop);
    drop(rig);
    watcher.set_nonblocking(false).unwrap();
    assert_eq!(rest(&mut watcher), b"");
}

#[test]
fn a_request_that_does_not_become_whole_is_ended() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(br#"{"client_id":"a"}{"action""#).unwrap();
    rig.turn_until(frame);
    rig.settle();
    let left = rig.poll_loop.timeout().expect("half a request has a deadline");
    assert!(left <= FRAME_TIMEOUT && left > FRAME_TIMEOUT / 2, "{left:?}");
    let began = now();

    // More of it wins no time.
    let held = rig.shared.buffered_bytes.load(Relaxed);
    client.write_all(b": ").unwrap();
    while rig.shared.buffered_bytes.load(Relaxed) == held {
        rig.poll_loop.turn().unwrap();
    }
    rig.poll_loop.expire(began + FRAME_TIMEOUT - Duration::from_secs(1));
    assert_eq!(rig.shared.clients.load(Relaxed), 1, "a second before its time");
    rig.poll_loop.expire(began + FRAME_TIMEOUT);
    assert_eq!((rig.shared.clients.load(Relaxed), rig.shared.buffered_bytes.load(Relaxed)), (0, 0));
    assert_eq!(rest(&mut client), b"");
}

#[test]
fn a_slow_request_that_becomes_whole_has_no_deadline_any_more() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(b"{}{").unwrap();
    rig.turn_until(frame);
    rig.settle();
    assert!(rig.poll_loop.timeout().is_some());
    client.write_all(b"}").unwrap();
    rig.turn_until(frame);
    rig.settle();
    assert_eq!(rig.poll_loop.timeout(), None);
    rig.poll_loop.expire(now() + 2 * FRAME_TIMEOUT);
    assert_eq!(rig.shared.clients.load(Relaxed), 1);
}

#[test]
fn a_full_pipeline_stops_reading_and_goes_on_when_half_is_answered() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.write_all(&b"{}".repeat(2 * PIPELINE_FRAMES_MAX)).unwrap();
    let count = |rig: &mut Rig| {
        rig.settle();
        let turns = std::iter::from_fn(|| rig.turns.try_recv().ok());
        turns.flat_map(|turn| turn.events).filter_map(|event| frame(&event)).count()
    };
    let conn = rig.turn_until(|event| if let Event::Opened { conn, .. } = event { Some(*conn) } else { None });
    let answer = |rig: &mut Rig, replies: usize| {
        rig.replies.send((0..replies).map(|_| Outgoing::reply(conn, vec![b'x'])).collect());
        rig.poll_loop.turn().unwrap();
        count(rig)
    };
    assert_eq!(count(&mut rig), 0, "the rest of the pipeline is not read");
    assert_eq!(answer(&mut rig, PIPELINE_FRAMES_MAX / 2 - 1), 0, "not yet");
    assert_eq!(answer(&mut rig, 1), PIPELINE_FRAMES_MAX / 2);
    assert_eq!(answer(&mut rig, PIPELINE_FRAMES_MAX), PIPELINE_FRAMES_MAX / 2);
    assert_eq!(answer(&mut rig, PIPELINE_FRAMES_MAX / 2), 0);
    expect(&mut client, &vec![b'x'; 2 * PIPELINE_FRAMES_MAX]);
}

#[test]
fn the_service_hears_that_nothing_more_comes_while_a_reply_is_owed() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.write_all(b"{}").unwrap();
    let conn = rig.turn_until(frame);
    client.shutdown(Shutdown::Write).unwrap();
    rig.turn_until(|event| matches!(event, Event::Ended { conn: ended } if *ended == conn).then_some(()));
    rig.replies.send(vec![Outgoing::reply(conn, b"late".to_vec())]);
    rig.turn_until(|event| match event {
        Event::Ended { .. } => panic!("told twice"),
        Event::Closed { conn: closed } => (*closed == conn).then_some(()),
        _ => None,
    });
    assert_eq!(rest(&mut client), b"late");
}

#[test]
fn a_late_reply_never_reaches_the_next_user_of_the_slot() {
    let mut rig = Rig::new();
    let mut first = TcpStream::connect(rig.address).unwrap();
    first.write_all(b"{}").unwrap();
    let late = rig.turn_until(frame);
    rig.settle();
    drop(first);
    rig.poll_loop.turn().unwrap();
    // Half a close with an unanswered request is no end yet; the reply finds nobody.
    rig.replies.send(vec![Outgoing::reply(late, b"first".to_vec()).closing(true)]);
    rig.turn_until(|event| matches!(event, Event::Closed { .. }).then_some(()));
    let mut second = TcpStream::connect(rig.address).unwrap();
    second.write_all(b"{}").unwrap();
    let next = rig.turn_until(frame);
    assert_eq!((late.slot, late.generation + 1), (next.slot, next.generation));
    rig.replies
        .send(vec![Outgoing::reply(late, b"first".to_vec()).closing(true), Outgoing::reply(next, b"second".to_vec())]);
    rig.poll_loop.turn().unwrap();
    expect(&mut second, b"second");
}

#[test]
fn a_large_request_does_not_hold_up_a_small_one() {
    let mut rig = Rig::new();
    let connect = |rig: &mut Rig| {
        let mut client = TcpStream::connect(rig.address).unwrap();
        client.write_all(b"{}").unwrap();
        let conn = rig.turn_until(frame);
        rig.replies.send(vec![Outgoing::reply(conn, vec![b'x'])]);
        expect_while(rig, &mut client);
        (client, conn)
    };
    let (mut large, large_conn) = connect(&mut rig);
    let (mut small, small_conn) = connect(&mut rig);
    let request = json_of(8 * crate::limits::READ_BYTES_PER_TURN);
    let writer = thread::spawn(move || large.write_all(&request).map(|()| large));
    // Several turns' worth of it have to lie there before the small one comes.
    wait_until("a part of the large request", || {
        rig.poll_loop.turn().unwrap();
        rig.shared.buffered_bytes.load(Relaxed) > 0
    });
    small.write_all(b"{}").unwrap();
    assert_eq!((rig.turn_until(frame), rig.turn_until(frame)), (small_conn, large_conn));
    writer.join().unwrap().unwrap();
}

/// Turns until the client has its one byte of reply.
fn expect_while(rig: &mut Rig, client: &mut TcpStream) {
    rig.poll_loop.turn().unwrap();
    expect(client, b"x");
    rig.settle();
}

#[test]
fn more_than_the_outbox_holds_closes_the_connection() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.write_all(b"{}").unwrap();
    let conn = rig.turn_until(frame);
    let half = || Outgoing::reply(conn, vec![0; OUTBOX_BYTES_MAX / 2 + 1]);
    rig.replies.send(vec![half(), half()]);
    rig.turn_until(|event| matches!(event, Event::Closed { .. }).then_some(()));
    assert_eq!(rig.shared.buffered_bytes.load(Relaxed), 0);
}

#[test]
fn a_thousand_idle_clients_cost_no_buffers_and_no_turns() {
    let server = Server::start(config());
    let mut clients: Vec<_> = (0..1000).map(|_| server.client()).collect();
    for client in &mut clients {
        round_trip(client, SAMIRA_REQUEST);
    }
    wait_until("all are idle", || server.stats.buffered_bytes() == 0);
    assert_eq!(server.stats.clients(), 1000);
    let before = server.stats.turns();
    round_trip(&mut clients[500], SAMIRA_REQUEST);
    let turns = server.stats.turns() - before;
    assert!(turns <= 4, "one request of one client took {turns} turns");
    assert!(size_of::<Connection>() <= 512, "{} bytes per connection", size_of::<Connection>());
}

#[test]
fn a_service_that_is_gone_ends_the_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (to_service, turns) = mpsc::channel(1);
    let (handle, _replies) = start(config(), listener, to_service).unwrap();
    drop(turns);
    let mut client = TcpStream::connect(handle.address()).unwrap();
    client.write_all(b"{}").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(rest(&mut client), b"");
    assert!(TcpStream::connect(handle.address()).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused));
    handle.shutdown(PATIENCE);
}
