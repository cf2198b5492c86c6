//! What nobody has asked for, and clients that say nothing.

use super::*;
use crate::limits::{OUTBOX_PUSH_BYTES_MAX, PUSHED_BYTES_MAX};

/// A connection of the rig whose first request was answered.
fn connected(rig: &mut Rig) -> (TcpStream, ConnId) {
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"{}").unwrap();
    let conn = rig.turn_until(frame);
    rig.replies.send(vec![Outgoing::reply(conn, vec![b'x'])]);
    expect_while(rig, &mut client);
    (client, conn)
}

#[test]
fn pushes_answer_nothing() {
    let mut rig = Rig::new();
    let (mut client, conn) = connected(&mut rig);
    client.write_all(&b"{}".repeat(2 * PIPELINE_FRAMES_MAX)).unwrap();
    rig.turn_until(frame);
    rig.settle();
    while rig.turns.try_recv().is_ok() {}
    // As many pushes as would free the whole pipeline if they were replies.
    rig.replies.send((0..PIPELINE_FRAMES_MAX).map(|_| Outgoing::push(conn, vec![b'p'])).collect());
    rig.poll_loop.turn().unwrap();
    rig.settle();
    assert!(rig.turns.try_recv().is_err(), "the pipeline is as full as before");
    expect(&mut client, &vec![b'p'; PIPELINE_FRAMES_MAX]);
    rig.replies.send((0..PIPELINE_FRAMES_MAX).map(|_| Outgoing::reply(conn, vec![b'r'])).collect());
    rig.turn_until(frame);
}

#[test]
fn a_client_that_leaves_its_pushes_lying_is_closed_and_nobody_else() {
    let mut rig = Rig::new();
    let (_idle, slow) = connected(&mut rig);
    let (mut other, fine) = connected(&mut rig);
    // The kernel's buffers take some of it; what it leaves has to exceed the bound.
    let piece = OUTBOX_PUSH_BYTES_MAX / 4;
    let closed = |event: &Event| matches!(event, Event::Closed { conn } if *conn == slow).then_some(());
    let mut sent = 0;
    loop {
        rig.replies.send(vec![Outgoing::push(slow, vec![0; piece]), Outgoing::push(fine, vec![b'x'])]);
        sent += piece;
        expect_while(&mut rig, &mut other);
        assert!(rig.shared.buffered_bytes.load(Relaxed) <= OUTBOX_PUSH_BYTES_MAX);
        let mut events = std::iter::from_fn(|| rig.turns.try_recv().ok()).flat_map(|turn| turn.events);
        if events.any(|event| closed(&event).is_some()) {
            break;
        }
        assert!(sent < 256 * OUTBOX_PUSH_BYTES_MAX, "it is never closed");
    }
    assert_eq!((rig.shared.clients.load(Relaxed), rig.shared.buffered_bytes.load(Relaxed)), (1, 0));
}

#[test]
fn a_push_of_the_whole_bound_fits_and_one_byte_more_does_not() {
    for (more, left) in [(0, 1), (1, 0)] {
        let mut rig = Rig::new();
        let (_client, conn) = connected(&mut rig);
        rig.replies.send(vec![Outgoing::push(conn, vec![0; OUTBOX_PUSH_BYTES_MAX + more])]);
        rig.poll_loop.turn().unwrap();
        assert_eq!(rig.shared.clients.load(Relaxed), left);
    }
}

#[test]
fn pushes_that_wait_for_the_poll_thread_have_a_bound_and_replies_do_not_suffer() {
    let mut rig = Rig::new();
    let (_slow, slow) = connected(&mut rig);
    let (mut other, fine) = connected(&mut rig);
    let piece = OUTBOX_PUSH_BYTES_MAX / 2;
    for _ in 0..=PUSHED_BYTES_MAX / piece {
        rig.replies.send(vec![Outgoing::push(slow, vec![0; piece])]);
    }
    rig.replies.send(vec![Outgoing::reply(fine, vec![b'x'])]);
    let waiting = rig.replies.take();
    let bytes: usize = waiting.outgoing.iter().map(|outgoing| outgoing.bytes.len()).sum();
    assert!(bytes <= PUSHED_BYTES_MAX && bytes + 2 * piece > PUSHED_BYTES_MAX, "{bytes}");
    assert_eq!((waiting.lost.len(), waiting.outgoing.last().unwrap().conn), (1, fine));

    // Only those that did not fit: the poll thread takes what there is and closes who has lost something.
    for _ in 0..=PUSHED_BYTES_MAX / piece {
        rig.replies.send(vec![Outgoing::push(slow, vec![0; piece])]);
    }
    rig.turn_until(|event| matches!(event, Event::Closed { conn } if *conn == slow).then_some(()));
    rig.replies.send(vec![Outgoing::push(fine, vec![b'x'])]);
    expect_while(&mut rig, &mut other);
}

#[test]
fn a_push_may_be_the_last_word() {
    let mut rig = Rig::new();
    let (mut client, conn) = connected(&mut rig);
    rig.replies
        .send(vec![Outgoing::push(conn, b"bye".to_vec()).closing(true), Outgoing::push(conn, b"too late".to_vec())]);
    rig.poll_loop.turn().unwrap();
    assert_eq!(rest(&mut client), b"bye");
}

const SILENCE: Duration = Duration::from_secs(120);

#[test]
fn who_is_silent_for_too_long_is_closed_and_who_speaks_is_not() {
    let mut rig = Rig::new();
    let (mut client, conn) = connected(&mut rig);
    rig.replies.send(vec![Outgoing::push(conn, vec![b'x']).bounding_silence(SILENCE)]);
    let before = now();
    expect_while(&mut rig, &mut client);
    let left = rig.poll_loop.timeout().expect("silence has a deadline");
    assert!(left <= SILENCE && left > SILENCE - PATIENCE, "{left:?}");

    // Bytes do not move the deadline, which would cost for each of them: it is looked at when it has passed.
    thread::park_timeout(Duration::from_millis(2));
    client.write_all(b"{}").unwrap();
    rig.turn_until(frame);
    rig.replies.send(vec![Outgoing::reply(conn, vec![b'x'])]);
    expect_while(&mut rig, &mut client);
    let first = before + SILENCE;
    let heard = now();
    rig.poll_loop.expire(first + Duration::from_millis(1));
    assert_eq!(rig.shared.clients.load(Relaxed), 1, "it has spoken meanwhile");
    assert!(rig.poll_loop.timeout().is_some_and(|left| left > first.saturating_duration_since(now())), "set anew");

    rig.poll_loop.expire(heard + SILENCE);
    assert_eq!(rig.shared.clients.load(Relaxed), 0);
    assert_eq!(rest(&mut client), b"");
    assert_eq!(rig.poll_loop.timeout(), None);
}

#[test]
fn silence_does_not_count_while_the_server_does_not_listen() {
    let mut rig = Rig::new();
    let (mut client, conn) = connected(&mut rig);
    rig.replies.send(vec![Outgoing::push(conn, vec![b'x']).bounding_silence(SILENCE)]);
    expect_while(&mut rig, &mut client);
    client.write_all(&b"{}".repeat(PIPELINE_FRAMES_MAX)).unwrap();
    rig.turn_until(frame);
    rig.settle();
    let later = now() + 2 * SILENCE;
    rig.poll_loop.expire(later);
    assert_eq!(rig.shared.clients.load(Relaxed), 1);
    rig.replies.send((0..PIPELINE_FRAMES_MAX).map(|_| Outgoing::reply(conn, vec![b'x'])).collect());
    rig.poll_loop.turn().unwrap();
    rig.settle();
    rig.poll_loop.expire(later + SILENCE);
    assert_eq!(rig.shared.clients.load(Relaxed), 0);
}

/// What the connection is told at its end, behind `before`.
#[track_caller]
fn bye(client: &mut TcpStream, codec: Codec, before: &[u8]) -> chat::Code {
    let heard = rest(client);
    assert!(heard.starts_with(before), "{} bytes", heard.len());
    let mut frame = heard[before.len()..].to_vec();
    match codec.decode::<chat::FromNode<'_>>(wire::frame::body(codec, &mut frame)).unwrap() {
        chat::FromNode::Event(Some(chat::Event::Bye(bye))) => bye.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_of_our_own_dialect_is_told_that_it_was_silent() {
    for codec in [Codec::Json2, Codec::Samira2] {
        let mut rig = Rig::new();
        let (mut client, conn) = connected(&mut rig);
        rig.replies.send(vec![Outgoing::push(conn, vec![b'x']).bounding_silence(SILENCE).in_dialect(codec)]);
        expect_while(&mut rig, &mut client);
        rig.poll_loop.expire(now() + SILENCE);
        rig.poll_loop.turn().unwrap();
        assert_eq!(bye(&mut client, codec, b""), chat::Code::Silent);
        drop(client);
        wait_until("its place to be free", || {
            rig.poll_loop.turn().unwrap();
            rig.shared.clients.load(Relaxed) == 0
        });
    }
}

#[test]
fn a_client_of_our_own_dialect_is_told_that_the_server_stops() {
    let mut rig = Rig::new();
    let (mut idle, first) = connected(&mut rig);
    let (mut busy, second) = connected(&mut rig);
    for (client, conn) in [(&mut idle, first), (&mut busy, second)] {
        rig.replies.send(vec![Outgoing::push(conn, vec![b'x']).in_dialect(Codec::Json2)]);
        expect_while(&mut rig, client);
    }
    busy.write_all(b"{}").unwrap();
    rig.turn_until(frame);
    rig.shared.stop.set(PATIENCE).unwrap();
    rig.replies.wake();
    rig.poll_loop.turn().unwrap();
    rig.poll_loop.turn().unwrap();
    assert_eq!(bye(&mut idle, Codec::Json2, b""), chat::Code::Stopping);
    rig.replies.send(vec![Outgoing::reply(second, b"answer".to_vec())]);
    rig.poll_loop.turn().unwrap();
    assert_eq!(bye(&mut busy, Codec::Json2, b"answer"), chat::Code::Stopping);
}

#[test]
fn a_client_that_is_still_owed_something_when_patience_ends_is_told_that_too() {
    let mut rig = Rig::new();
    let (mut client, conn) = connected(&mut rig);
    rig.replies.send(vec![Outgoing::push(conn, vec![b'x']).in_dialect(Codec::Samira2)]);
    expect_while(&mut rig, &mut client);
    client.write_all(b"{}").unwrap();
    rig.turn_until(frame);
    rig.shared.stop.set(Duration::ZERO).unwrap();
    rig.replies.wake();
    assert_eq!(rig.poll_loop.turn().unwrap(), poll_loop::Flow::Stop);
    drop(rig);
    assert_eq!(bye(&mut client, Codec::Samira2, b""), chat::Code::Stopping);
}

#[test]
fn a_slow_reader_is_told_so_behind_what_it_left_lying() {
    let mut rig = Rig::new();
    let (mut client, conn) = connected(&mut rig);
    rig.replies.send(vec![Outgoing::push(conn, vec![b'x']).in_dialect(Codec::Json2)]);
    expect_while(&mut rig, &mut client);
    let piece = vec![b'p'; OUTBOX_PUSH_BYTES_MAX / 4];
    let mut sent = 0;
    // Until the last one does not fit: the connection then wants to be looked at when its patience ends.
    while !rig.poll_loop.timeout().is_some_and(|left| left <= crate::limits::BYE_PATIENCE && left > Duration::ZERO) {
        rig.replies.send(vec![Outgoing::push(conn, piece.clone())]);
        rig.poll_loop.turn().unwrap();
        rig.settle();
        sent += piece.len();
        assert!(sent < 256 * OUTBOX_PUSH_BYTES_MAX, "it is never closed");
    }
    let reader = thread::spawn(move || {
        let heard = rest(&mut client);
        let text = heard.iter().position(|&byte| byte != b'p').expect("a goodbye");
        let mut frame = heard[text..].to_vec();
        match Codec::Json2.decode::<chat::FromNode<'_>>(wire::frame::body(Codec::Json2, &mut frame)).unwrap() {
            chat::FromNode::Event(Some(chat::Event::Bye(bye))) => (text, bye.code),
            other => panic!("{other:?}"),
        }
    });
    while !reader.is_finished() {
        rig.replies.wake();
        rig.poll_loop.turn().unwrap();
    }
    assert_eq!(reader.join().unwrap(), (sent - piece.len(), chat::Code::Busy));
}
