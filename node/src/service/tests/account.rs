//! Signing up, logging in, and acting as oneself only.

use super::*;

const HASHED: &str = "A password is sent as 64 lowercase hexadecimal digits, its SHA-256, and never in clear.";

#[test]
fn accounts_are_made_and_proven_as_the_original_did() {
    run(async {
        let mut server = Server::start().await;
        let client = server.connect(Codec::Json).await;
        let signup = |username: &str, nickname: &str, password: &str| json!({"action": "signup", "username": username, "nickname": nickname, "password": password});
        let login =
            |username: Value, password: Value| json!({"action": "login", "username": username, "password": password});
        let wrong = refused("Invalid username or password.");
        let missing = refused("Username and password are required.");
        let table = [
            (signup("alice", "Alice A", PASSWORD), done()),
            (signup("alice", "Alice", PASSWORD), refused("Username already taken.")),
            (signup("ALICE", "n", PASSWORD), refused("Username already taken.")),
            (signup("ａｌｉｃｅ", "n", PASSWORD), refused("Username already taken.")),
            (signup("аlice", "n", PASSWORD), refused("This user name mixes letters of several scripts.")),
            (signup("u1\u{200d}", "n", PASSWORD), refused("This user name contains a control or invisible character.")),
            (
                signup("#1", "n", PASSWORD),
                refused("This user name begins with # or @, which have a meaning of their own in front of a name."),
            ),
            (signup("u1", "n", "secret"), refused(HASHED)),
            (signup("u1", "n", &PASSWORD.to_uppercase()), refused(HASHED)),
            (signup("u1", "n", &PASSWORD[1..]), refused(HASHED)),
            (signup("", "n", "p"), refused("All fields are required.")),
            (signup("u1", "", "p"), refused("All fields are required.")),
            (signup("u1", "n", ""), refused("All fields are required.")),
            (json!({"action": "signup", "username": "u1"}), refused("All fields are required.")),
            (
                json!({"action": "signup", "username": ["x"], "nickname": "n", "password": "p"}),
                refused("Invalid value for 'username'."),
            ),
            (signup(&"x".repeat(65), "n", "p"), refused("This user name is longer than 64 characters.")),
            (signup("a\u{202e}b", "n", "p"), refused("This user name contains a control or invisible character.")),
            (signup("u1", " n", "p"), refused("This nickname begins or ends with white space.")),
            (signup("u1", "n", &"p".repeat(257)), refused("The password is too long.")),
            (
                login(json!("alice"), json!(PASSWORD)),
                json!({"success": true, "error_message": "", "user_id": 1, "nickname": "Alice A", "view_limit": 6}),
            ),
            (login(json!("alice"), json!("0000")), wrong.clone()),
            (login(json!("nobody"), json!(PASSWORD)), wrong),
            (json!({"action": "login", "username": "alice"}), missing.clone()),
            (json!({"action": "login"}), missing.clone()),
            (login(json!(""), json!("")), missing),
            (signup("zoë", "Zoë 🔥", PASSWORD), done()),
            (json!({"action": "signup", "username": 123, "nickname": 5, "password": PASSWORD}), done()),
            (
                login(json!("123"), json!(PASSWORD)),
                json!({"success": true, "error_message": "", "user_id": 3, "nickname": "5", "view_limit": 6}),
            ),
            // These clients go on under the name as it was typed here.
            (login(json!("ALICE"), json!(PASSWORD)), refused("Invalid username or password.")),
        ];
        for (request, expected) in table {
            let reply = server.ask(client, request.clone()).await;
            assert_eq!(reply, expected, "{request}");
        }
    });
}

#[test]
fn every_other_action_needs_a_login_and_ones_own_name() {
    run(async {
        let mut server = Server::start().await;
        let bob = server.join("bob").await;
        let stranger = server.connect(Codec::Json).await;
        let requests = [
            json!({"action": "delete_user", "username": "alice"}),
            json!({"action": "get_chats", "user_id": "alice"}),
            json!({"action": "update_view_limit", "username": "alice", "new_limit": 3}),
            json!({"action": "save_settings", "username": "alice", "message_limit": "3"}),
            json!({"action": "get_user_message_limit", "username": "alice"}),
            json!({"action": "start_chat", "current_user": "alice", "other_user": "bob"}),
            json!({"action": "get_users_to_display", "current_user": "alice", "search_pattern": ""}),
            json!({"action": "get_messages", "chat_id": "alice_bob", "current_user": "alice"}),
            json!({"action": "send_chat_message", "chat_id": "alice_bob", "sender": "alice", "content": "x"}),
            json!({"action": "delete_messages", "chat_id": "alice_bob", "message_indices": [0], "current_user": "alice"}),
        ];
        server.join("alice").await;
        for request in requests {
            let reply = server.ask(stranger, request.clone()).await;
            assert_eq!(reply, refused("Please log in first."), "{request}");
            let reply = server.ask(bob, request.clone()).await;
            assert_eq!(reply, refused("You are logged in as 'bob'; this can only be done for oneself."), "{request}");
        }
        let all = json!({"action": "get_all_users"});
        assert_eq!(server.ask(stranger, all.clone()).await, refused("Please log in first."));
        let users = json!({"success": true, "users": ["alice", "bob"], "error_message": ""});
        assert_eq!(server.ask(bob, all).await, users);
        for nonsense in [json!({"action": "dance"}), json!({}), json!({"action": null}), json!({"action": [1]})] {
            assert_eq!(server.ask(stranger, nonsense).await, refused("Invalid action"));
        }
    });
}

#[test]
fn a_signup_logs_in_only_where_nobody_is() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        let signup = json!({"action": "signup", "username": "bob", "nickname": "b", "password": PASSWORD});
        assert_eq!(server.ask(alice, signup).await, done());
        assert_eq!(server.ask(alice, chats("alice")).await["success"], true);
        assert_eq!(server.ask(alice, chats("bob")).await["success"], false);
        // A failed login changes nothing, a successful one does.
        let wrong = json!({"action": "login", "username": "bob", "password": "x"});
        assert_eq!(server.ask(alice, wrong).await["success"], false);
        assert_eq!(server.ask(alice, chats("alice")).await["success"], true);
        assert_eq!(server.ask(alice, login("bob")).await["success"], true);
        assert_eq!(server.ask(alice, chats("bob")).await["success"], true);
    });
}

#[test]
fn an_account_is_deleted_by_its_owner_and_its_name_rests() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let delete = |name: &str| json!({"action": "delete_user", "username": name});
        assert_eq!(server.say(bob, "bob", "alice_bob", "hello").await, done());
        let second = server.connect(Codec::Json).await;
        assert_eq!(server.ask(second, login("bob")).await["success"], true);

        assert_eq!(server.ask(alice, delete("nobody")).await, done());
        assert_eq!(server.ask(alice, json!({"action": "delete_user"})).await, done());
        assert_eq!(server.ask(bob, delete("bob")).await, done());
        assert_eq!(server.ask(bob, chats("bob")).await, refused("Please log in first."));
        // The other connection of the same user learns of it with its next request, whatever that is.
        assert_eq!(server.ask(second, chats("bob")).await, refused("This account has been deleted."));
        assert_eq!(server.ask(second, chats("bob")).await, refused("Please log in first."));
        assert_eq!(server.ask(bob, login("bob")).await, refused("Invalid username or password."));

        let gone = refused("Cannot send message. User 'bob' has deleted their account.");
        assert_eq!(server.say(alice, "alice", "alice_bob", "too late").await, gone);
        let list = server.ask(alice, chats("alice")).await;
        assert_eq!(list["chats"], json!([{"chat_id": "alice_bob", "other_user": "bob (deleted)", "unread_count": 1}]));
        let shown = server.messages(alice, "alice", "alice_bob").await;
        assert_eq!(shown["messages"][0]["sender"], "bob (deleted)");

        let again = json!({"action": "signup", "username": "Bob", "nickname": "b", "password": PASSWORD});
        assert_eq!(server.ask(bob, again).await, refused("Username already taken."));
    });
}

#[test]
fn a_write_of_a_deleted_account_logs_out_too() {
    run(async {
        let mut server = Server::start().await;
        let (first, second) = (server.join("bob").await, server.connect(Codec::Json).await);
        server.ask(second, login("bob")).await;
        server.ask(first, json!({"action": "delete_user", "username": "bob"})).await;
        assert_eq!(server.say(second, "bob", "bob_bob", "x").await, refused("This account has been deleted."));
        assert_eq!(server.say(second, "bob", "bob_bob", "x").await, refused("Please log in first."));
    });
}

#[test]
fn a_closed_server_takes_no_new_accounts() {
    run(async {
        let mut server = Server::start_with(false).await;
        let client = server.connect(Codec::Json).await;
        let signup = json!({"action": "signup", "username": "bob", "nickname": "b", "password": PASSWORD});
        assert_eq!(server.ask(client, signup).await, refused("This server takes no new accounts."));
        assert_eq!(server.with(|inner| inner.submitted), 0);
    });
}

#[test]
fn the_first_message_is_a_handshake() {
    run(async {
        let mut server = Server::start().await;
        let hello = |id: Value| json!({"client_id": id});
        let cases = [
            (hello(json!(7)), json!({"status": "connected", "message": "Successfully connected as 7"}), false),
            (hello(json!("")), json!({"status": "error", "message": "A client_id is required."}), true),
            (hello(Value::Null), json!({"status": "error", "message": "A client_id is required."}), true),
            (login("alice"), json!({"status": "error", "message": "A client_id is required."}), true),
            (
                hello(json!("é".repeat(5000))),
                json!({"status": "connected", "message": format!("Successfully connected as {}", "é".repeat(64))}),
                false,
            ),
        ];
        for (slot, (request, expected, closes)) in cases.into_iter().enumerate() {
            let conn = ConnId { slot: 100 + slot as u32, generation: 1 };
            let client = Client { conn, codec: Codec::Json };
            server.turn(vec![opened(conn, Codec::Json)], Vec::new()).await;
            server.send(client, &[request]).await;
            let mut out = server.receive(client).await;
            assert_eq!(out.close, closes);
            assert_eq!(decode(Codec::Json, &mut out.bytes), expected);
        }
    });
}
