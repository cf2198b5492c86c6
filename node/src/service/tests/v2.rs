//! Our own dialect, in both of its codecs: texts, names, and how connections end.

use wire::chat::FromNode;
use wire::frame;
use wire::limits::{DEVICES_PER_USER_MAX, MESSAGE_TEXT_BYTES_MAX};

use super::*;

const CODECS: [Codec; 2] = [Codec::Json2, Codec::Samira2];

/// Somebody, logged in on a connection.
struct Person {
    client: Client,
    device: u64,
    seq: u64,
}

impl Server {
    async fn send_frames(&self, client: Client, frames: &[Value]) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        for frame in frames {
            let from = bytes.len();
            client.codec.encode_frame_to_vec(frame, &mut bytes).unwrap();
            events.push(Event::Frame { conn: client.conn, range: from..bytes.len() });
        }
        self.turn(events, bytes).await;
    }

    /// The next frame of a connection that says something.
    async fn frame(&mut self, client: Client) -> Value {
        loop {
            let mut bytes = self.receive(client).await.bytes;
            if !bytes.is_empty() {
                return read(client.codec, &mut bytes);
            }
        }
    }

    /// Asks under a name, and returns the reply without its envelope.
    async fn request(&mut self, client: Client, name: &str, content: Value) -> Value {
        self.send_frames(client, &[json!({"id": 9, name: content})]).await;
        loop {
            let frame = self.frame(client).await;
            if frame["re"] == 9 {
                return frame;
            }
        }
    }

    async fn greet(&mut self, codec: Codec) -> Client {
        let conn = ConnId { slot: self.next_slot, generation: 0 };
        self.next_slot += 1;
        let client = Client { conn, codec };
        self.turn(vec![opened(conn, codec)], Vec::new()).await;
        let welcome = self.request(client, "hello", json!({"samira": 2})).await;
        assert_eq!(welcome["welcome"]["samira"], 2);
        client
    }

    async fn sign_up(&mut self, codec: Codec, name: &str) -> Person {
        let client = self.greet(codec).await;
        let session = self.request(client, "signup", json!({"username": name, "password": PASSWORD})).await;
        Person { client, device: session["session"]["device"].as_u64().unwrap(), seq: 0 }
    }

    async fn log_in(&mut self, codec: Codec, name: &str) -> Person {
        let client = self.greet(codec).await;
        let session = self.request(client, "login", json!({"username": name, "password": PASSWORD})).await;
        Person { client, device: session["session"]["device"].as_u64().unwrap(), seq: 0 }
    }

    async fn send_text(&mut self, person: &mut Person, to: &str, text: &str) -> Value {
        person.seq += 1;
        self.request(person.client, "send", json!({"username": to, "text": text, "seq": person.seq})).await
    }

    /// The last frame of a connection, as (code, text).
    async fn bye(&mut self, client: Client) -> (u64, String) {
        loop {
            let mut last = self.receive(client).await;
            if last.close {
                let frame = read(client.codec, &mut last.bytes);
                let bye = &frame["bye"];
                return (bye["code"].as_u64().unwrap(), bye["text"].as_str().unwrap().to_owned());
            }
        }
    }
}

/// A node's frame as it would stand in JSON/2, which has no bytes.
fn read(codec: Codec, bytes: &mut [u8]) -> Value {
    let frame: FromNode<'_> = codec.decode(frame::body(codec, bytes)).unwrap();
    let mut json = Vec::new();
    Codec::Json2.encode_to_vec(&frame, &mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_default()
}

#[test]
fn a_text_is_stored_with_line_feeds_and_without_controls() {
    run(async {
        for codec in CODECS {
            let mut server = Server::start().await;
            let mut alice = server.sign_up(codec, "alice").await;
            let sent = server.send_text(&mut alice, "alice", "a\r\n\tb\nc").await;
            assert_eq!(sent["sent"]["number"], 1, "{sent}");
            let long = "x".repeat(MESSAGE_TEXT_BYTES_MAX + 1);
            for wrong in ["", " \n\t\u{3000}", "\r\n", "a\0", "a\rb", "\x1b[2J", "\u{7f}", "a\u{85}", "\u{9b}2J", &long]
            {
                let refused = server.send_text(&mut alice, "alice", wrong).await;
                assert_eq!(code(&refused), 200, "{codec:?} {wrong:?}: {refused}");
                assert!(refused["error"]["text"].as_str().unwrap().starts_with("a message "), "{refused}");
            }
            // Each refusal has used its number up, and only that.
            let sent = server.send_text(&mut alice, "alice", "after").await;
            assert_eq!(sent["sent"]["number"], 2);
            assert_eq!(server.texts(1), ["after", "a\n\tb\nc"]);
            alice.seq += 1;
            let nickname = json!({"nickname": "a\u{85}b", "seq": alice.seq});
            let refused = server.request(alice.client, "nickname", nickname).await;
            assert_eq!(code(&refused), 205, "{refused}");
            let stranger = server.greet(codec).await;
            let login = json!({"username": "alice", "password": PASSWORD, "device_name": "a\u{9b}b"});
            let refused = server.request(stranger, "login", login).await;
            assert_eq!(code(&refused), 205, "{refused}");
        }
    });
}

#[test]
fn the_original_dialect_keeps_the_same_rule_in_its_words() {
    run(async {
        for codec in [Codec::Json, Codec::Samira1] {
            let mut server = Server::start().await;
            let mut ask = server.connect(codec).await;
            ask.codec = codec;
            // Replies in SAMIRA/1 have 1 and 0 for true and false.
            let verdict = |reply: Value| reply["error_message"].as_str().unwrap().to_owned();
            for name in ["alice", "bob"] {
                let signup = json!({"action": "signup", "username": name, "nickname": name, "password": PASSWORD});
                server.ask(ask, signup).await;
            }
            server.ask(ask, login("alice")).await;
            let control = "The message contains a control character; only line breaks and tabs are allowed.";
            for (text, expected) in [
                ("a\r\n\tb\n", ""),
                (" \r\n\t", "Missing required fields."),
                ("", "Missing required fields."),
                ("a\0b", control),
                ("a\rb", control),
                ("\u{9b}2J", control),
                ("\u{7f}", control),
            ] {
                let said = server.say(ask, "alice", "alice_bob", text).await;
                assert_eq!(verdict(said), expected, "{codec:?} {text:?}");
            }
            assert_eq!(server.texts(1), ["a\n\tb\n"]);
        }
    });
}

#[test]
fn a_name_that_nobody_has_is_one_error() {
    run(async {
        for codec in CODECS {
            let mut server = Server::start().await;
            let mut alice = server.sign_up(codec, "alice").await;
            let bob = server.sign_up(codec, "bob").await;
            let sent = server.send_text(&mut alice, "bob", "hello").await;
            let deletion = json!({"password": PASSWORD, "confirm": true});
            assert_eq!(server.request(bob.client, "delete_account", deletion).await["re"], 9);
            for name in ["carol", "bob", &"x".repeat(999)] {
                let opened = server.request(alice.client, "open", json!({"username": name})).await;
                let sent = server.send_text(&mut alice, name, "hello").await;
                assert_eq!((code(&opened), code(&sent)), (207, 207), "{opened} {sent}");
                assert_eq!(opened["error"]["text"], sent["error"]["text"]);
            }
            // Sent again it is answered alike.
            let again = json!({"username": "carol", "text": "hello", "seq": 2});
            assert_eq!(code(&server.request(alice.client, "send", again).await), 207);
            alice.seq += 1;
            let old = json!({"conversation": sent["sent"]["conversation"], "text": "hello?", "seq": alice.seq});
            let refused = server.request(alice.client, "send", old).await;
            assert_eq!(code(&refused), 209);
            assert_eq!(refused["error"]["text"], "bob has deleted the account");
        }
    });
}

#[test]
fn two_requests_in_a_frame_are_refused() {
    run(async {
        for codec in CODECS {
            let mut server = Server::start().await;
            let alice = server.sign_up(codec, "alice").await;
            let two = json!({"id": 1, "ping": {}, "account": {}});
            server.send_frames(alice.client, &[two]).await;
            let (code, text) = server.bye(alice.client).await;
            assert_eq!(code, 200);
            assert!(text.starts_with("more than one message in a frame at byte "), "{text}");
        }
        // Also where the frame is the first one, and says which dialect this is.
        let mut server = Server::start().await;
        let client = Client { conn: ConnId { slot: 0, generation: 0 }, codec: Codec::Json2 };
        let frame = br#"{"id":1,"hello":{"samira":2},"hello":{}}"#.to_vec();
        let events = vec![opened(client.conn, Codec::Json), Event::Frame { conn: client.conn, range: 0..frame.len() }];
        server.turn(events, frame).await;
        assert_eq!(server.bye(client).await.0, 200);
    });
}

#[test]
fn what_is_no_message_is_answered_with_a_line() {
    run(async {
        let mut server = Server::start().await;
        let error = wire::DecodeError { at: 0, kind: DecodeErrorKind::Malformed("key") };
        for (slot, codec) in [Codec::Json, Codec::Samira1, Codec::Json2].into_iter().enumerate() {
            let client = Client { conn: ConnId { slot: slot as u32, generation: 0 }, codec };
            server
                .turn(vec![opened(client.conn, codec), Event::Malformed { conn: client.conn, error }], Vec::new())
                .await;
            let last = loop {
                let outgoing = server.receive(client).await;
                if outgoing.close {
                    break outgoing.bytes;
                }
            };
            assert_eq!(last.ends_with(b"\n"), codec != Codec::Samira1, "{codec:?}: {}", last.escape_ascii());
        }
        let client = Client { conn: ConnId { slot: 9, generation: 0 }, codec: Codec::Json };
        server.turn(vec![opened(client.conn, client.codec)], Vec::new()).await;
        server.send(client, &[json!({"message": "connection_request"})]).await;
        let refused = server.receive(client).await;
        assert!(refused.close && refused.bytes.ends_with(b"\n"));
    });
}

#[test]
fn the_end_says_why_although_something_is_open() {
    run(async {
        for codec in CODECS {
            let mut server = Server::start().await;
            server.sign_up(codec, "alice").await;
            let client = server.greet(codec).await;
            let login = json!({"id": 3, "login": {"username": "alice", "password": PASSWORD}});
            let two = json!({"id": 4, "ping": {}, "account": {}});
            server.send_frames(client, &[login, two]).await;
            assert_eq!(server.bye(client).await.0, 200, "the login was under way; nobody was logged out");
        }
    });
}

#[test]
fn whoever_is_logged_out_is_told_why() {
    run(async {
        for codec in CODECS {
            let mut server = Server::start().await;
            let alice = server.sign_up(codec, "alice").await;
            let check = async |server: &mut Server, gone: Client, why: &str| {
                let (code, text) = server.bye(gone).await;
                assert!(code == 104 && text.contains(why), "{code} {text}");
            };

            let phone = server.log_in(codec, "alice").await;
            server.request(alice.client, "revoke", json!({"device": phone.device})).await;
            check(&mut server, phone.client, "by its user").await;

            let phone = server.log_in(codec, "alice").await;
            let change = json!({"password": PASSWORD, "new_password": PASSWORD});
            assert!(server.request(alice.client, "password", change).await["done"].is_object());
            check(&mut server, phone.client, "the password was changed").await;

            let phone = server.log_in(codec, "alice").await;
            for _ in 2..DEVICES_PER_USER_MAX {
                server.log_in(codec, "alice").await;
            }
            // The first one has been silent for longest, and the next one after it.
            server.log_in(codec, "alice").await;
            check(&mut server, alice.client, "made room").await;
            server.log_in(codec, "alice").await;
            check(&mut server, phone.client, "at most 32 devices").await;
        }
    });
}

#[test]
fn a_deleted_account_leaves_no_connection() {
    run(async {
        for codec in CODECS {
            let mut server = Server::start().await;
            let alice = server.sign_up(codec, "alice").await;
            let phone = server.log_in(codec, "alice").await;
            let told = server.request(alice.client, "delete_account", json!({"password": PASSWORD})).await;
            assert!(told["lost"].is_object(), "{told}");
            assert!(server.request(alice.client, "ping", json!({})).await["done"].is_object(), "only asked");
            let gone = json!({"password": PASSWORD, "confirm": true});
            assert!(server.request(alice.client, "delete_account", gone).await["lost"].is_object());
            for client in [alice.client, phone.client] {
                assert_eq!(server.bye(client).await, (104, "this account was deleted".to_owned()), "{codec:?}");
            }
        }
    });
}

#[test]
fn a_call_in_the_clear_may_show_a_password_and_gets_no_token() {
    run(async {
        let mut server = Server::start().await;
        let client = Client { conn: ConnId::of_call(1), codec: Codec::Samira2 };
        let called = Event::Called { conn: client.conn, secure: Security::Plain, who: None, listens: false };
        server.turn(vec![called], Vec::new()).await;
        let session = server.request(client, "signup", json!({"username": "alice", "password": PASSWORD})).await;
        assert_eq!(session["session"]["username"], "alice", "{session}");
        assert!(session["session"].get("token").is_none());
    });
}
