//! Pipelining: replies in request order, reads behind the writes before them, bounded memory.

use super::*;

#[test]
fn writes_are_under_way_together_and_a_read_waits_for_them() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let before = server.with(|inner| inner.submitted);
        server.hold();
        let mut requests: Vec<Value> = (0..6).map(|n| say("alice", "alice_bob", &format!("m{n}"))).collect();
        requests.push(messages("alice", "alice_bob"));
        requests.push(say("alice", "alice_bob", "behind the read"));
        requests.push(messages("alice", "alice_bob"));
        server.send(alice, &requests).await;
        // Another connection is not held up by it.
        assert_eq!(server.ask(bob, chats("bob")).await["chats"], json!([]));
        assert_eq!(server.with(|inner| inner.submitted) - before, 6);
        assert!(server.received.get(&alice.conn).is_none_or(VecDeque::is_empty));
        server.release();
        for _ in 0..6 {
            assert_eq!(server.reply(alice).await, done());
        }
        assert_eq!(contents(&server.reply(alice).await), ["m0", "m1", "m2", "m3", "m4", "m5"]);
        assert_eq!(server.reply(alice).await, done());
        assert_eq!(contents(&server.reply(alice).await).last(), Some(&"behind the read"));
    });
}

#[test]
fn a_login_in_the_middle_of_a_pipeline_takes_effect_in_order() {
    run(async {
        let mut server = Server::start().await;
        server.join("alice").await;
        server.join("bob").await;
        let client = server.connect(Codec::Json).await;
        let requests = [
            say("alice", "alice_bob", "too early"),
            login("alice"),
            say("alice", "alice_bob", "as alice"),
            login("bob"),
            say("bob", "alice_bob", "as bob"),
            say("alice", "alice_bob", "not any more"),
            json!({"action": "delete_user", "username": "bob"}),
            say("bob", "alice_bob", "too late"),
        ];
        server.send(client, &requests).await;
        let mut successes = Vec::new();
        for _ in &requests {
            successes.push(server.reply(client).await["success"].as_bool().unwrap());
        }
        assert_eq!(successes, [false, true, true, true, true, false, true, false]);
    });
}

#[test]
fn a_thousand_requests_in_one_turn_are_answered_in_order() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        server.join("bob").await;
        let requests: Vec<Value> = (0..1000)
            .map(|n| match n % 10 {
                8 => json!({"action": "start_chat", "current_user": "alice", "other_user": "bob"}),
                9 => messages("alice", "alice_bob"),
                _ => say("alice", "alice_bob", &n.to_string()),
            })
            .collect();
        server.send(alice, &requests).await;
        for n in 0..1000 {
            let reply = server.reply(alice).await;
            match n % 10 {
                8 => assert_eq!(reply["chat_id"], "alice_bob", "{n}"),
                9 => assert_eq!(contents(&reply).last().unwrap().parse::<usize>().unwrap(), n - 2),
                _ => assert_eq!(reply, done(), "{n}"),
            }
        }
    });
}

#[test]
fn what_waits_beyond_its_bound_is_answered_as_busy_in_its_turn() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        server.join("bob").await;
        server.hold();
        let text = "x".repeat(60_000);
        let fitting = crate::limits::SESSION_QUEUE_BYTES_MAX / 60_200;
        let mut requests = vec![say("alice", "alice_bob", "first"), messages("alice", "alice_bob")];
        requests.extend(std::iter::repeat_n(say("alice", "alice_bob", &text), fitting + 10));
        requests.push(chats("alice"));
        server.send(alice, &requests).await;
        // A read on another connection comes back only after the turn has been taken in.
        let probe = server.connect(Codec::Json).await;
        server.ask(probe, chats("nobody")).await;
        server.release();
        assert_eq!(server.reply(alice).await, done());
        assert_eq!(contents(&server.reply(alice).await), ["first"]);
        let busy = refused("The server is busy and has done nothing. Please try again in a moment.");
        let mut replies = Vec::new();
        for _ in 0..fitting + 10 {
            replies.push(server.reply(alice).await);
        }
        let stored = replies.iter().filter(|reply| **reply == done()).count();
        assert!((fitting - 1..=fitting + 1).contains(&stored), "{stored} of {fitting}");
        assert!(replies[stored..].iter().all(|reply| *reply == busy));
        assert_eq!(server.reply(alice).await["success"], true, "a small one still fits");
    });
}

#[test]
fn what_is_no_message_is_the_last_thing_on_a_connection() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        server.join("bob").await;
        server.hold();
        server.send(alice, &[say("alice", "alice_bob", "stored")]).await;
        let bytes = br#"{"action": 1,}"#.to_vec();
        let range = 0..bytes.len();
        let conn = alice.conn;
        server.turn(vec![Event::Frame { conn, range: range.clone() }, Event::Frame { conn, range }], bytes).await;
        server.release();
        assert_eq!(server.reply(alice).await, done());
        let mut last = server.receive(alice).await;
        assert!(last.close);
        let said = decode(Codec::Json, &mut last.bytes);
        let text = said["error_message"].as_str().unwrap();
        assert!(text.starts_with("Malformed message: ") && text.contains(" at byte "), "{text}");
        assert_eq!(said["success"], false);

        // The transport may have noticed it first; earlier requests are answered before.
        let bob = server.connect(Codec::Json).await;
        server.send(bob, &[login("bob"), chats("bob")]).await;
        let error = wire::DecodeError { at: 7, kind: wire::DecodeErrorKind::Utf8 };
        server.turn(vec![Event::Malformed { conn: bob.conn, error }], Vec::new()).await;
        assert_eq!(server.reply(bob).await["success"], true);
        assert_eq!(server.reply(bob).await["success"], true);
        let mut last = server.receive(bob).await;
        assert!(last.close);
        let said = decode(Codec::Json, &mut last.bytes);
        assert_eq!(said, refused("Malformed message: text is not UTF-8 at byte 7."));
    });
}

#[test]
fn a_connection_that_goes_takes_its_requests_along() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        let bob = server.join("bob").await;
        server.hold();
        let requests = [say("alice", "alice_bob", "sent"), messages("alice", "alice_bob"), chats("alice")];
        server.send(alice, &requests).await;
        server.turn(vec![Event::Closed { conn: alice.conn }], Vec::new()).await;
        // The place is used again; nothing of the old connection reaches the new one.
        let conn = ConnId { generation: 1, ..alice.conn };
        server.turn(vec![opened(conn, Codec::Json)], Vec::new()).await;
        // Once another connection is answered, the service has seen all of that.
        server.ask(bob, chats("bob")).await;
        server.release();
        let next = Client { conn, codec: Codec::Json };
        assert_eq!(server.ask(next, json!({"client_id": "x"})).await["status"], "connected");
        assert_eq!(server.ask(next, chats("alice")).await, refused("Please log in first."));
        assert_eq!(contents(&server.messages(bob, "bob", "alice_bob").await), ["sent"]);
        assert!(server.received.get(&alice.conn).is_none_or(VecDeque::is_empty));
    });
}
