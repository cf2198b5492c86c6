//! What a client is told when the cluster cannot decide: never more than is known.

use super::*;

const READ_ONLY: &str =
    "Nothing was stored: too few servers of the cluster can be reached. Until they can, you can only read.";

#[test]
fn what_is_stale_says_so_and_marks_nothing() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        server.say(alice, "alice", "alice_bob", "hello").await;
        server.with(|inner| inner.freshness = Freshness::Stale);
        let before = server.with(|inner| inner.submitted);
        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!((contents(&shown), &shown["stale"]), (vec!["hello"], &json!(true)));
        let list = server.ask(bob, chats("bob")).await;
        assert_eq!((&list["chats"][0]["unread_count"], &list["stale"]), (&json!(1), &json!(true)));
        assert_eq!(server.ask(bob, json!({"action": "get_all_users"})).await["stale"], true);
        let limit = json!({"action": "get_user_message_limit", "username": "bob"});
        let told = json!({"message_limit": "6", "error_message": "", "stale": true});
        assert_eq!(server.ask(bob, limit).await, told);
        assert_eq!(server.with(|inner| inner.submitted), before);

        server.with(|inner| inner.freshness = Freshness::Linearizable);
        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!((flags(&shown), shown.get("stale")), (vec![0], None));
    });
}

#[test]
fn a_login_without_a_quorum_can_only_read_until_there_is_one() {
    run(async {
        let mut server = Server::start().await;
        server.join("alice").await;
        server.join("bob").await;
        server.with(|inner| inner.freshness = Freshness::Stale);
        let client = server.connect(Codec::Json).await;
        let welcome = server.ask(client, login("bob")).await;
        assert_eq!((&welcome["success"], &welcome["stale"]), (&json!(true), &json!(true)));
        let before = server.with(|inner| inner.submitted);
        assert_eq!(server.say(client, "bob", "alice_bob", "x").await, refused(READ_ONLY));
        let delete = json!({"action": "delete_user", "username": "bob"});
        assert_eq!(server.ask(client, delete).await, refused(READ_ONLY));
        let start = json!({"action": "start_chat", "current_user": "bob", "other_user": "alice"});
        assert_eq!(server.ask(client, start).await, refused(READ_ONLY));
        let unseen =
            json!({"action": "delete_messages", "chat_id": "alice_bob", "message_indices": [0], "current_user": "bob"});
        assert_eq!(server.ask(client, unseen).await, refused(READ_ONLY));
        assert_eq!(server.with(|inner| inner.submitted), before);
        assert_eq!(server.ask(client, chats("bob")).await["success"], true);
        // With the quorum back the first write goes through, without a new login.
        server.with(|inner| inner.freshness = Freshness::Linearizable);
        assert_eq!(server.say(client, "bob", "alice_bob", "y").await, done());
        assert_eq!(contents(&server.messages(client, "bob", "alice_bob").await), ["y"]);
    });
}

#[test]
fn an_account_that_was_deleted_meanwhile_does_not_get_its_session_back() {
    run(async {
        let mut server = Server::start().await;
        let elsewhere = server.join("bob").await;
        server.with(|inner| inner.freshness = Freshness::Stale);
        let client = server.connect(Codec::Json).await;
        server.ask(client, login("bob")).await;
        server.with(|inner| inner.freshness = Freshness::Linearizable);
        server.ask(elsewhere, json!({"action": "delete_user", "username": "bob"})).await;
        assert_eq!(server.say(client, "bob", "bob_bob", "x").await, refused("This account has been deleted."));
        assert_eq!(server.say(client, "bob", "bob_bob", "x").await, refused("Please log in first."));
    });
}

#[test]
fn a_write_is_told_to_be_stored_not_stored_or_unknown_as_it_is() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        let missing = "1 of 3 servers can be reached, 2 are needed; not reached: b (h:1), c (h:2)".to_owned();
        let long = "é".repeat(5000);
        let table = [
            (
                ProposeError::Overloaded,
                "The server is busy and has done nothing. Please try again in a moment.".to_owned(),
            ),
            (ProposeError::NotStored { missing: missing.clone() }, format!("Nothing was stored: {missing}.")),
            (
                ProposeError::Unknown { missing: missing.clone() },
                format!("This may or may not have been stored, look before you try again: {missing}."),
            ),
            (ProposeError::NotStored { missing: long.clone() }, format!("Nothing was stored: {}.", "é".repeat(300))),
            (ProposeError::Stopping, "The server is stopping. Please connect again.".to_owned()),
        ];
        for (error, told) in table {
            server.with(|inner| inner.failing = Some(error));
            assert_eq!(server.say(alice, "alice", "alice_alice", "x").await, refused(&told));
            let signup = json!({"action": "signup", "username": "new", "nickname": "n", "password": PASSWORD});
            assert_eq!(server.ask(alice, signup).await, refused(&told));
        }
        server.with(|inner| inner.failing = None);
        assert_eq!(server.say(alice, "alice", "alice_alice", "x").await, done());
    });
}

#[test]
fn messages_are_shown_even_if_the_mark_cannot_be_stored() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        server.say(alice, "alice", "alice_bob", "hello").await;
        server.with(|inner| inner.failing = Some(ProposeError::Overloaded));
        assert_eq!(contents(&server.messages(bob, "bob", "alice_bob").await), ["hello"]);
        server.with(|inner| inner.failing = None);
        assert_eq!(flags(&server.messages(bob, "bob", "alice_bob").await), [0]);
        assert_eq!(flags(&server.messages(bob, "bob", "alice_bob").await), [1]);
    });
}
