//! Clients within TLS.

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::bridge::Security;
use crate::limits::{HANDSHAKES_PER_TURN, OUTBOX_PUSH_BYTES_MAX};
use crate::quic::tls::{ALPN_CLIENT, cluster_name};

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_config(ca: &CertificateDer<'static>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn session(alpn: &[&[u8]]) -> ClientConnection {
    let name = ServerName::try_from(cluster_name(&authority().id)).unwrap();
    ClientConnection::new(client_config(&authority().ca, alpn), name).unwrap()
}

impl Server {
    fn tls_client(&self) -> Stream {
        StreamOwned::new(session(&[]), self.client())
    }
}

fn exchange(client: &mut Stream, request: &[u8], reply: &[u8]) {
    client.write_all(request).unwrap();
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == reply, "{} bytes differ from what was expected", got.len());
}

/// What a client's first flight looks like.
fn client_hello() -> Vec<u8> {
    let mut hello = Vec::new();
    session(&[]).write_tls(&mut hello).unwrap();
    hello
}

/// Everything until the server has said goodbye; an error if it ends without that.
fn end(client: &mut Stream) -> io::Result<Vec<u8>> {
    let mut got = Vec::new();
    client.read_to_end(&mut got).map(|_| got)
}

#[test]
fn both_codecs_are_served_inside_tls_on_the_same_port() {
    let server = Server::start(config());
    let (mut plain, mut json, mut samira) = (server.client(), server.tls_client(), server.tls_client());
    exchange(&mut json, br#"{"client_id":"a"}"#, br#"{"client_id":"a"}"#);
    exchange(&mut samira, SAMIRA_REQUEST, SAMIRA_REQUEST);
    round_trip(&mut plain, SAMIRA_REQUEST);
    exchange(&mut json, br#"{"action":"x"}"#, br#"{"action":"x"}"#);
    assert_eq!(json.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    wait_until("buffers are freed", || server.stats.buffered_bytes() == 0);
    assert_eq!(server.stats.clients(), 3);
    drop((plain, json, samira));
    wait_until("clients leave", || server.stats.clients() == 0);
}

#[test]
fn the_service_is_told_what_protects_a_connection() {
    let mut rig = Rig::new();
    let opened = |event: &Event| match event {
        Event::Opened { secure, own_dialect, .. } => Some((*secure, *own_dialect)),
        _ => None,
    };
    let mut plain = TcpStream::connect(rig.address).unwrap();
    plain.write_all(b"{}").unwrap();
    assert_eq!(rig.turn_until(opened), (Security::Loopback, false));
    for (alpn, own_dialect) in [(&[][..], false), (&[b"h2".as_slice(), ALPN_CLIENT][..], true)] {
        let (address, session) = (rig.address, session(alpn));
        let client = thread::spawn(move || {
            let mut client = StreamOwned::new(session, TcpStream::connect(address).unwrap());
            client.write_all(b"{}").unwrap();
            client
        });
        assert_eq!(rig.turn_until(opened), (Security::Tls, own_dialect));
        let client = client.join().unwrap();
        assert_eq!(client.conn.alpn_protocol(), own_dialect.then_some(ALPN_CLIENT));
    }
}

#[test]
fn who_asks_for_other_protocols_only_is_told_so() {
    let server = Server::start(config());
    let mut client = StreamOwned::new(session(&[b"h2", b"http/1.1"]), server.client());
    let error = client.write_all(b"{}").unwrap_err();
    let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&alert));
    assert_eq!(server.stop(), [""; 0], "the service heard of nobody");
}

#[test]
fn a_client_that_asked_for_our_dialect_must_not_speak_samira_1() {
    let server = Server::start(config());
    let mut client = StreamOwned::new(session(&[ALPN_CLIENT]), server.client());
    client.write_all(SAMIRA_REQUEST).unwrap();
    assert_eq!(end(&mut client).unwrap(), b"");
    let mut client = StreamOwned::new(session(&[ALPN_CLIENT]), server.client());
    let frame = samira2_request();
    exchange(&mut client, &[&PREFACE[..], &frame].concat(), &[&PREFACE[..], &frame].concat());
    let mut client = StreamOwned::new(session(&[ALPN_CLIENT]), server.client());
    exchange(&mut client, b"{}", b"{}");
    drop(client);
    assert_eq!(server.stop().iter().filter(|event| **event == "opened").count(), 2);
}

#[test]
fn a_server_of_another_cluster_is_refused_by_the_client() {
    let server = Server::start(config());
    let other = crate::cluster::ca::Authority::found("other").unwrap();
    for (ca, id) in [(other.certificate(), authority().id.as_str()), (&authority().ca, "other")] {
        let name = ServerName::try_from(cluster_name(id)).unwrap();
        let connection = ClientConnection::new(client_config(ca, &[]), name).unwrap();
        let error = StreamOwned::new(connection, server.client()).write_all(b"{}").unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    }
    wait_until("both have left", || server.stats.clients() == 0);
    assert_eq!(server.stop(), [""; 0]);
}

/// Passes bytes on one at a time.
struct ByteByByte(TcpStream);

impl Read for ByteByByte {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}

impl Write for ByteByByte {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn single_bytes_make_a_connection_too() {
    let server = Server::start(config());
    let mut client = StreamOwned::new(session(&[]), ByteByByte(server.client()));
    for request in [br#"{"client_id": "\"}{"}"#.as_slice(), b"{}"] {
        client.write_all(request).unwrap();
        let mut got = vec![0; request.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, request);
    }
    wait_until("the pieces are freed", || server.stats.buffered_bytes() == 0);
}

#[test]
fn a_client_hello_cut_at_any_byte_is_an_end_like_any_other() {
    let server = Server::start(config());
    let hello = client_hello();
    for cuts in (1..hello.len()).collect::<Vec<_>>().chunks(64) {
        let mut clients: Vec<_> = cuts.iter().map(|_| server.client()).collect();
        for (client, &cut) in clients.iter_mut().zip(cuts) {
            client.write_all(&hello[..cut]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        }
        for (mut client, cut) in clients.into_iter().zip(cuts) {
            assert_eq!(rest(&mut client), b"", "cut at {cut}");
        }
    }
    wait_until("all have left", || server.stats.clients() == 0);
    assert_eq!((server.stats.buffered_bytes(), server.stop()), (0, vec![]));
}

#[test]
fn bytes_that_are_no_tls_are_answered_with_an_alert() {
    let server = Server::start(config());
    let record = |content: &[u8]| [&[0x16, 3, 1, 0, content.len() as u8][..], content].concat();
    let mut damaged = client_hello();
    damaged.truncate(damaged.len() - 1);
    damaged.push(0xff);
    let long = [&[0x16, 3, 1, 0x50, 0][..], &[0; 0x5000]].concat();
    for (bytes, alert) in [
        (record(b"\x01\x00\x00\x02\x03\x03"), Some(AlertDescription::DecodeError)),
        // A Finished before anything was begun.
        (record(b"\x14\x00\x00\x00"), Some(AlertDescription::UnexpectedMessage)),
        (b"\x16GET / HTTP/1.1\r\n\r\n".to_vec(), Some(AlertDescription::DecodeError)),
        (b"\x16\xff\xff\xff\xff\xff".to_vec(), Some(AlertDescription::DecodeError)),
        (long, None),
        // A second flight that is not encrypted with what was agreed on.
        ([client_hello(), b"\x17\x03\x03\x00\x11".to_vec(), vec![7; 17]].concat(), None),
        // TLS 1.2 and nothing newer.
        (tls12_hello(), Some(AlertDescription::ProtocolVersion)),
    ] {
        let mut client = server.client();
        client.write_all(&bytes).unwrap();
        let said = rest(&mut client);
        // An alert that is not encrypted ends the answer: record, length 2, fatal.
        match alert {
            Some(alert) => assert_eq!(said, [0x15, 3, 3, 0, 2, 2, alert.into()], "{bytes:02x?}"),
            None => assert!(said.len() >= 7, "{bytes:02x?}: {said:02x?}"),
        }
    }
    // Bytes in any order never do more than that.
    let mut state = 1_u64;
    for _ in 0..200 {
        let mut bytes = client_hello();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = 1 + (state >> 33) as usize % (bytes.len() - 1);
            bytes[at] = (state >> 24) as u8;
        }
        let mut client = server.client();
        client.write_all(&bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        rest(&mut client);
    }
    exchange(&mut server.tls_client(), b"{}", b"{}");
    wait_until("all have left", || server.stats.clients() == 0);
    assert_eq!(server.stats.buffered_bytes(), 0);
    assert_eq!(server.stop(), ["opened", "frame", "closed"]);
}

fn tls12_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut hello = Vec::new();
    let name = ServerName::try_from("x.samira").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn what_is_refused_inside_is_closed_without_a_word() {
    let server = Server::start(config());
    let hello = client_hello();
    for first in
        [hello.as_slice(), &[wire::limits::WATCH_PREFACE], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1"]
    {
        let mut client = server.tls_client();
        client.write_all(first).unwrap();
        assert_eq!(end(&mut client).unwrap(), b"", "{first:02x?}");
    }
    assert_eq!(server.stop(), [""; 0], "the service heard of nobody");
}

#[test]
fn megabytes_pass_both_ways_in_order() {
    let server = Server::start(config());
    let client = server.tls_client();
    let requests: Vec<u8> = (0..100_000).flat_map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    assert!(requests.len() > 1 << 20);
    let (mut connection, mut socket) = (client.conn, client.sock);
    connection.complete_io(&mut socket).unwrap();
    // One side of a blocking stream waits for the other: the socket is written to as far as it takes bytes.
    socket.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    let mut sent = 0;
    wait_until("everything is back", || {
        while connection.wants_write() {
            match connection.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        sent += connection.writer().write(&requests[sent..]).unwrap();
        match connection.read_tls(&mut socket) {
            Ok(0) => panic!("closed after {} bytes", got.len()),
            Ok(_) => drop(connection.process_new_packets().unwrap()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let mut chunk = [0; 1 << 16];
        while let Ok(count @ 1..) = connection.reader().read(&mut chunk) {
            got.extend_from_slice(&chunk[..count]);
        }
        got.len() == requests.len()
    });
    assert!(got == requests);
    // One request that takes many records, and its reply.
    socket.set_nonblocking(false).unwrap();
    let mut client = StreamOwned::new(connection, socket);
    let large = json_of(wire::limits::REQUEST_BYTES_MAX);
    exchange(&mut client, &large, &large);
    wait_until("buffers are freed", || server.stats.buffered_bytes() == 0);
}

#[test]
fn a_client_that_never_reads_is_paused_then_closed() {
    let config = Config { stall_timeout: Duration::from_millis(200), ..config() };
    let server = Server::answering(config, |_| vec![b'x'; wire::limits::LEGACY_REPLY_BYTES_MAX]);
    let mut other = server.tls_client();
    let reply = [b'x'; wire::limits::LEGACY_REPLY_BYTES_MAX];
    exchange(&mut other, b"{}", &reply);
    let mut slow = server.tls_client();
    let requests = b"{}".repeat(1 << 20);
    let error = (0..100).find_map(|_| slow.write_all(&requests).err()).expect("the server stops reading");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    wait_until("only the other is left", || server.stats.clients() == 1);
    assert_eq!(server.stats.buffered_bytes(), 0);
    exchange(&mut other, b"{}", &reply);
}

#[test]
fn a_goodbye_is_answered_behind_the_last_reply() {
    let server = Server::start(config());
    let mut client = server.tls_client();
    client.write_all(br#"{"a":1}{"b":2}"#).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(end(&mut client).unwrap(), br#"{"a":1}{"b":2}"#);
    wait_until("it has left", || server.stats.clients() == 0);

    let mut idle = server.tls_client();
    exchange(&mut idle, b"{}", b"{}");
    idle.conn.send_close_notify();
    idle.flush().unwrap();
    assert_eq!(end(&mut idle).unwrap(), b"");
}

#[test]
fn the_server_says_goodbye_when_it_ends_a_connection_or_itself() {
    let server = Server::start(config());
    let mut bad = server.tls_client();
    bad.write_all(b"{}]]]]").unwrap();
    assert_eq!(end(&mut bad).unwrap(), b"{}bad");
    let mut idle = server.tls_client();
    exchange(&mut idle, b"{}", b"{}");
    let mut busy = server.tls_client();
    busy.write_all(br#"{"a":1}"#).unwrap();
    wait_until("the request was read", || busy.sock.peek(&mut [0]).is_ok());
    server.stop();
    assert_eq!(end(&mut busy).unwrap(), br#"{"a":1}"#);
    assert_eq!(end(&mut idle).unwrap(), b"");
}

#[test]
fn a_stream_that_is_cut_ends_like_any_other() {
    let server = Server::start(config());
    let mut client = server.tls_client();
    exchange(&mut client, b"{}", b"{}");
    client.conn.writer().write_all(b"{}").unwrap();
    let mut record = Vec::new();
    client.conn.write_tls(&mut record).unwrap();
    client.sock.write_all(&record[..record.len() - 1]).unwrap();
    wait_until("half a record is held", || server.stats.buffered_bytes() > 0);
    client.sock.shutdown(Shutdown::Write).unwrap();
    end(&mut client).unwrap();
    wait_until("it has left", || server.stats.clients() == 0);
    assert_eq!(server.stats.buffered_bytes(), 0);
    assert_eq!(server.stop(), ["opened", "frame", "closed"]);
}

#[test]
fn a_record_that_was_changed_on_the_way_ends_the_connection() {
    let server = Server::start(config());
    let mut client = server.tls_client();
    exchange(&mut client, b"{}", b"{}");
    client.conn.writer().write_all(b"{}").unwrap();
    let mut record = Vec::new();
    client.conn.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    client.sock.write_all(&record).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    let alert = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&alert));
    assert_eq!(server.stop(), ["opened", "frame", "closed"]);
}

#[test]
fn a_client_may_change_its_keys_and_ask_for_ours() {
    let server = Server::start(config());
    let mut client = server.tls_client();
    for _ in 0..3 {
        exchange(&mut client, b"{}", b"{}");
        client.conn.refresh_traffic_keys().unwrap();
    }
    exchange(&mut client, b"{}", b"{}");
}

#[test]
fn half_a_record_has_a_deadline_like_half_a_request() {
    let mut rig = Rig::new();
    let address = rig.address;
    let client = thread::spawn(move || {
        let mut client = StreamOwned::new(session(&[]), TcpStream::connect(address).unwrap());
        client.write_all(b"{}").unwrap();
        client
    });
    rig.turn_until(frame);
    let mut client = client.join().unwrap();
    rig.settle();
    assert_eq!(rig.poll_loop.timeout(), None);
    client.sock.write_all(&[0x17, 3, 3]).unwrap();
    wait_until("it is held", || {
        rig.poll_loop.turn().unwrap();
        rig.shared.buffered_bytes.load(Relaxed) > 0
    });
    rig.poll_loop.expire(now() + FRAME_TIMEOUT);
    assert_eq!((rig.shared.clients.load(Relaxed), rig.shared.buffered_bytes.load(Relaxed)), (0, 0));
}

#[test]
fn half_open_handshakes_are_closed_in_time_and_hold_nobody_up() {
    let server = Server::start(Config { handshake_timeout: Duration::from_millis(500), ..config() });
    let mut served = server.tls_client();
    exchange(&mut served, b"{}", b"{}");
    let hello = client_hello();
    let mut silent: Vec<_> = (0..300)
        .map(|i| {
            let mut client = server.client();
            // Some have said nothing, some a part, some are owed nothing but their second flight.
            client.write_all(&hello[..[0, 1, 100, hello.len()][i % 4]]).unwrap();
            client
        })
        .collect();
    exchange(&mut served, b"{}", b"{}");
    exchange(&mut server.tls_client(), b"{}", b"{}");
    for client in &mut silent {
        rest(client);
    }
    exchange(&mut served, b"{}", b"{}");
    wait_until("only one is left", || server.stats.clients() == 1);
    assert_eq!(server.stats.buffered_bytes(), 0);
}

#[test]
fn one_turn_does_only_so_many_handshakes() {
    let mut rig = Rig::new();
    let hello = client_hello();
    let mut clients: Vec<_> = (0..3 * HANDSHAKES_PER_TURN).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
    // Accepts all of them, before any of them speaks.
    while rig.shared.clients.load(Relaxed) < clients.len() {
        rig.poll_loop.turn().unwrap();
    }
    for client in &mut clients {
        client.write_all(&hello).unwrap();
        client.set_nonblocking(true).unwrap();
    }
    let answered = |clients: &[TcpStream]| clients.iter().filter(|client| client.peek(&mut [0]).is_ok()).count();
    let mut before = 0;
    while before < clients.len() {
        rig.poll_loop.turn().unwrap();
        let after = answered(&clients);
        assert!(after - before <= HANDSHAKES_PER_TURN, "{} in one turn", after - before);
        before = after;
    }
}

#[test]
fn plaintext_off_means_tls_only() {
    let server = Server::start(Config { plaintext: Plaintext::Off, ..config() });
    exchange(&mut server.tls_client(), b"{}", b"{}");
    let mut plain = server.client();
    plain.write_all(b"{}").unwrap();
    assert_eq!(rest(&mut plain), Refusal::PlaintextOff.encode(Codec::Json));
}

#[test]
fn a_surplus_client_is_told_inside_tls() {
    let server = Server::start(Config { max_clients: 1, ..config() });
    let mut first = server.tls_client();
    exchange(&mut first, b"{}", b"{}");
    let mut surplus = server.tls_client();
    surplus.write_all(SAMIRA_REQUEST).unwrap();
    assert_eq!(end(&mut surplus).unwrap(), Refusal::Capacity.encode(Codec::Samira1));
}

#[test]
fn a_push_that_fits_no_more_closes_a_client_inside_tls() {
    let mut rig = Rig::new();
    let address = rig.address;
    let client = thread::spawn(move || {
        let mut client = StreamOwned::new(session(&[]), TcpStream::connect(address).unwrap());
        client.write_all(b"{}").unwrap();
        client
    });
    let conn = rig.turn_until(frame);
    let _client = client.join().unwrap();
    let piece = OUTBOX_PUSH_BYTES_MAX / 4;
    let mut pieces = 0;
    while rig.shared.clients.load(Relaxed) == 1 {
        rig.replies.send(vec![Outgoing::push(conn, vec![0; piece])]);
        rig.poll_loop.turn().unwrap();
        pieces += 1;
        assert!(pieces < 1024, "it is never closed");
    }
    assert_eq!(rig.shared.buffered_bytes.load(Relaxed), 0);
}

#[test]
fn a_thousand_idle_clients_inside_tls_hold_no_buffers() {
    let server = Server::start(config());
    let mut clients: Vec<_> = (0..1000).map(|_| server.tls_client()).collect();
    for client in &mut clients {
        exchange(client, b"{}", b"{}");
    }
    wait_until("all are idle", || server.stats.buffered_bytes() == 0);
    assert_eq!(server.stats.clients(), 1000);
    let before = server.stats.turns();
    exchange(&mut clients[500], b"{}", b"{}");
    let turns = server.stats.turns() - before;
    assert!(turns <= 4, "one request of one client took {turns} turns");
}
