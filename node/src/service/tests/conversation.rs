//! Talking: the scenarios of the original's recordings, each person on a connection of their own.

use super::*;

#[test]
fn two_people_talk() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let start = |me: &str, other: &str| json!({"action": "start_chat", "current_user": me, "other_user": other});
        let opened = |id: &str| json!({"success": true, "chat_id": id, "error_message": ""});
        assert_eq!(server.ask(alice, start("alice", "bob")).await, opened("alice_bob"));
        let before = server.with(|inner| inner.submitted);
        assert_eq!(server.ask(bob, start("bob", "alice")).await, opened("alice_bob"));
        assert_eq!(server.ask(alice, start("alice", "nobody")).await, opened("alice_nobody"));
        assert_eq!(server.ask(alice, start("alice", "Zed")).await, opened("Zed_alice"));
        assert_eq!(server.with(|inner| inner.submitted), before, "nothing new, nothing stored");
        assert_eq!(server.ask(alice, start("alice", "alice")).await, opened("alice_alice"));
        let nothing = json!({"success": true, "chats": [], "error_message": ""});
        assert_eq!(server.ask(alice, chats("alice")).await, nothing);
        let empty = json!({"success": true, "messages": [], "error_message": ""});
        assert_eq!(server.messages(alice, "alice", "alice_bob").await, empty);
        assert_eq!(server.messages(alice, "alice", "alice_nobody").await, empty);

        assert_eq!(server.say(alice, "alice", "alice_bob", "hello bob").await, done());
        assert_eq!(server.say(alice, "alice", "bob_alice", "an unsorted id").await, done());
        assert_eq!(server.say(bob, "bob", "alice_bob", "hi alice").await, done());
        let tricky = "üñí 日本 🔥 \"q\" \\ \n tab\t";
        assert_eq!(server.say(alice, "alice", "alice_bob", tricky).await, done());
        let list = |other: &str, unread: u64| {
            let chat = json!({"chat_id": "alice_bob", "other_user": other, "unread_count": unread});
            json!({"success": true, "chats": [chat], "error_message": ""})
        };
        assert_eq!(server.ask(alice, chats("alice")).await, list("bob", 1));
        assert_eq!(server.ask(bob, chats("bob")).await, list("alice", 3));

        let first = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(contents(&first), ["hello bob", "an unsorted id", "hi alice", tricky]);
        assert_eq!(flags(&first), [0, 0, 0, 0]);
        let one = &first["messages"][2];
        assert_eq!((&one["sender"], &one["receiver"]), (&json!("bob"), &json!("alice")));
        let ids: Vec<u64> = (0..4).map(|place| first["messages"][place]["id"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        assert_eq!(one["timestamp"].as_str().unwrap().len(), "2026-11-22T12:07:55.726108".len());
        assert_eq!(server.ask(bob, chats("bob")).await, list("alice", 0));
        assert_eq!(flags(&server.messages(bob, "bob", "alice_bob").await), [1, 1, 0, 1]);
        assert_eq!(server.ask(alice, chats("alice")).await, list("bob", 1));

        let before = server.with(|inner| inner.submitted);
        server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(server.with(|inner| inner.submitted), before, "a poll that changes nothing proposes nothing");
    });
}

#[test]
fn chats_are_listed_newest_first_and_notebooks_not_at_all() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        let (bob, carol) = (server.join("bob").await, server.join("carol").await);
        server.say(bob, "bob", "alice_bob", "1").await;
        server.say(carol, "carol", "carol_alice", "2").await;
        assert_eq!(server.say(alice, "alice", "alice_alice", "note").await, done());
        let order = |reply: &Value| -> Vec<String> {
            let chats = reply["chats"].as_array().unwrap().iter();
            chats.map(|chat| chat["other_user"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(order(&server.ask(alice, chats("alice")).await), ["carol", "bob"]);
        server.say(alice, "alice", "alice_bob", "3").await;
        assert_eq!(order(&server.ask(alice, chats("alice")).await), ["bob", "carol"]);
        let notes = server.messages(alice, "alice", "alice_alice").await;
        assert_eq!((contents(&notes), flags(&notes)), (vec!["note"], vec![1]));
        assert_eq!(notes["messages"][0]["receiver"], "alice");
        assert_eq!(server.ask(alice, chats("")).await["chats"], json!([]));
        // Whose only message is deleted, that chat is not listed any more.
        let delete = json!({"action": "delete_messages", "chat_id": "alice_carol", "message_indices": [0], "current_user": "carol"});
        assert_eq!(server.ask(carol, delete).await, done());
        assert_eq!(order(&server.ask(alice, chats("alice")).await), ["bob"]);
    });
}

#[test]
fn what_is_not_ones_own_chat_is_refused_in_words() {
    run(async {
        let mut server = Server::start().await;
        let (alice, _bob) = (server.join("alice").await, server.join("bob").await);
        let carol = server.join("carol").await;
        server.say(alice, "alice", "alice_bob", "private").await;
        let not_part = refused("You are not part of such a chat.");
        assert_eq!(server.messages(carol, "carol", "alice_bob").await, not_part);
        assert_eq!(server.say(carol, "carol", "alice_bob", "spoof").await, not_part);
        assert_eq!(server.messages(carol, "carol", "nounderscore").await, not_part);
        assert_eq!(server.messages(carol, "carol", &"x".repeat(5000)).await, not_part);
        let gone = refused("Cannot send message. User 'nobody' has deleted their account.");
        assert_eq!(server.say(alice, "alice", "alice_nobody", "x").await, gone);
        let missing = refused("Missing required fields.");
        for (chat, sender, text) in [("", "alice", "x"), ("alice_bob", "", "x"), ("alice_bob", "alice", "")] {
            assert_eq!(server.say(alice, sender, chat, text).await, missing);
        }
        assert_eq!(server.ask(alice, json!({"action": "send_chat_message"})).await, missing);
        let invalid = json!({"messages": [], "error_message": "Invalid payload."});
        assert_eq!(server.ask(alice, json!({"action": "get_messages", "chat_id": "alice_bob"})).await, invalid);
        assert_eq!(server.ask(alice, json!({"action": "get_messages", "current_user": "alice"})).await, invalid);
        let listed = json!({"action": "get_messages", "chat_id": ["alice_bob"], "current_user": "alice"});
        assert_eq!(contents(&server.ask(alice, listed).await), ["private"]);
    });
}

#[test]
fn names_with_underscores_do_not_meet_in_one_chat() {
    run(async {
        let mut server = Server::start().await;
        let (a_b, c) = (server.join("a_b").await, server.join("c").await);
        let (a, b_c) = (server.join("a").await, server.join("b_c").await);
        let start = |me: &str, other: &str| json!({"action": "start_chat", "current_user": me, "other_user": other});
        assert_eq!(server.ask(a_b, start("a_b", "c")).await["chat_id"], "a_b_c");
        assert_eq!(server.say(a_b, "a_b", "a_b_c", "for c only").await, done());
        assert_eq!(server.ask(a, start("a", "b_c")).await["chat_id"], "a_b_c~2");
        assert_eq!(server.say(a, "a", "a_b_c~2", "for b_c only").await, done());
        assert_eq!(contents(&server.messages(c, "c", "a_b_c").await), ["for c only"]);
        assert_eq!(contents(&server.messages(b_c, "b_c", "a_b_c~2").await), ["for b_c only"]);
        assert_eq!(contents(&server.messages(b_c, "b_c", "a_b_c").await), ["for b_c only"]);
        assert_eq!(server.ask(b_c, chats("b_c")).await["chats"][0]["chat_id"], "a_b_c~2");
    });
}

#[test]
fn messages_are_deleted_by_their_place_in_the_list_last_shown() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        for number in 0..6 {
            let (client, name) = if number % 2 == 0 { (alice, "alice") } else { (bob, "bob") };
            server.say(client, name, "alice_bob", &format!("m{number}")).await;
        }
        let delete = |indices: Value| json!({"action": "delete_messages", "chat_id": "alice_bob", "message_indices": indices, "current_user": "alice"});
        let shown = server.messages(alice, "alice", "alice_bob").await;
        assert_eq!(contents(&shown), ["m0", "m1", "m2", "m3", "m4", "m5"]);
        // What arrives between looking and deleting does not move the places.
        server.say(bob, "bob", "alice_bob", "m6").await;
        assert_eq!(server.ask(alice, delete(json!([0, 2, 99]))).await, done());
        let shown = server.messages(alice, "alice", "alice_bob").await;
        assert_eq!(contents(&shown), ["m1", "m3", "m4", "m5", "m6"]);
        let foreign = refused("You can only delete messages that you have sent.");
        assert_eq!(server.ask(alice, delete(json!([0, 2]))).await, foreign);
        assert_eq!(contents(&server.messages(alice, "alice", "alice_bob").await).len(), 5, "all or none");
        assert_eq!(server.ask(alice, delete(json!([-1]))).await, refused("Message indices count from 0."));
        let wrong = refused("Invalid value for 'message_indices'.");
        assert_eq!(server.ask(alice, delete(json!(["0"]))).await, wrong);
        assert_eq!(server.ask(alice, delete(json!([0.5]))).await, wrong);
        assert_eq!(server.ask(alice, delete(Value::Null)).await, refused("Missing required fields."));
        assert_eq!(server.ask(alice, delete(json!([]))).await, done());

        // A connection that was shown nothing: the list it would be shown now, and nothing is marked read.
        server.say(bob, "bob", "alice_bob", "m7").await;
        let fresh = server.connect(Codec::Json).await;
        server.ask(fresh, login("alice")).await;
        assert_eq!(server.ask(fresh, delete(json!([2]))).await, done());
        assert_eq!(server.ask(fresh, chats("alice")).await["chats"][0]["unread_count"], 1);
        assert_eq!(contents(&server.messages(fresh, "alice", "alice_bob").await), ["m1", "m3", "m5", "m6", "m7"]);
        let chats = json!({"action": "delete_chats", "chat_ids": ["alice_bob"]});
        assert_eq!(server.ask(fresh, chats).await["success"], false);
    });
}

#[test]
fn users_are_found_page_by_page() {
    run(async {
        let mut server = Server::start().await;
        let me = server.join("user01").await;
        for name in ["user02", "user03", "user11", "under_score", "per%cent", "Quote'd"] {
            server.join(name).await;
        }
        let all = ["Quote'd", "per%cent", "under_score", "user02", "user03", "user11"];
        let page = |pattern: &str, page: i64, per_page: i64| {
            json!({"action": "get_users_to_display", "current_user": "user01", "search_pattern": pattern,
                   "page": page, "users_per_page": per_page})
        };
        let from_one = |page: i64| {
            json!({"action": "get_users_to_display", "current_user": "user01", "search_pattern": "",
                   "current_page": page, "users_per_page": 4})
        };
        let table: Vec<(Value, &[&str])> = vec![
            (page("", 0, 10), &all),
            (page("", 0, 4), &all[..4]),
            (page("", 1, 4), &all[4..]),
            (page("", 2, 4), &[]),
            (page("", -3, 4), &all[..4]),
            (page("", i64::MAX, 4), &[]),
            (page("", 0, 0), &[]),
            (page("", 7, -1), &all),
            (from_one(0), &all[..4]),
            (from_one(1), &all[..4]),
            (from_one(2), &all[4..]),
            (from_one(i64::MIN), &all[..4]),
            (page("user1", 0, 10), &["user11"]),
            (page("USER0", 0, 10), &["user02", "user03"]),
            (page("%", 0, 10), &["per%cent"]),
            (page("_", 0, 10), &["under_score"]),
            (page("u*r?2", 0, 10), &["user02"]),
            (page("*", 0, 10), &all),
            (json!({"action": "get_users_to_display"}), &[]),
            (json!({"action": "get_users_to_display", "current_user": null, "search_pattern": ""}), &[]),
            (
                json!({"action": "get_users_to_display", "current_user": "", "search_pattern": "user0"}),
                &["user01", "user02", "user03"],
            ),
            (json!({"action": "get_all_users", "exclude_username": "user01"}), &all),
        ];
        for (request, expected) in table {
            let reply = server.ask(me, request.clone()).await;
            assert_eq!(reply, json!({"success": true, "users": expected, "error_message": ""}), "{request}");
        }
        let long = page(&"x".repeat(257), 0, 10);
        assert_eq!(server.ask(me, long).await, refused("The search pattern is too long."));
        let text = json!({"action": "get_users_to_display", "current_user": "user01", "users_per_page": "5"});
        assert_eq!(server.ask(me, text).await, refused("Invalid value for 'users_per_page'."));
    });
}

#[test]
fn the_view_limit_is_a_number_within_bounds_and_told_as_text() {
    run(async {
        let mut server = Server::start().await;
        let alice = server.join("alice").await;
        let limit = json!({"action": "get_user_message_limit", "username": "alice"});
        let is = |limit: &str| json!({"message_limit": limit, "error_message": ""});
        assert_eq!(server.ask(alice, limit.clone()).await, is("6"));
        assert_eq!(server.ask(alice, json!({"action": "get_user_message_limit"})).await, is("6"));
        let save = |value: Value| json!({"action": "save_settings", "username": "alice", "message_limit": value});
        for (value, expected) in
            [(json!("12"), "12"), (json!(" 007 "), "7"), (json!(3), "3"), (json!(100_000), "100000")]
        {
            assert_eq!(server.ask(alice, save(value)).await, done());
            assert_eq!(server.ask(alice, limit.clone()).await, is(expected));
        }
        let range = refused("The message limit must be a whole number from 1 to 100000.");
        for value in
            [json!("abc"), json!("2.5"), json!(0), json!(-3), json!(100_001), json!(4_294_967_296_u64), Value::Null]
        {
            assert_eq!(server.ask(alice, save(value)).await, range);
        }
        assert_eq!(server.ask(alice, save(json!([1]))).await, refused("Invalid value for 'message_limit'."));
        assert_eq!(server.ask(alice, limit.clone()).await, is("100000"));
        let update = json!({"action": "update_view_limit", "username": "alice", "new_limit": 9});
        assert_eq!(server.ask(alice, update).await, done());
        assert_eq!(server.ask(alice, limit).await, is("9"));
        assert_eq!(server.ask(alice, login("alice")).await["view_limit"], 9);
    });
}

#[test]
fn samira_clients_are_served_alike() {
    run(async {
        let mut server = Server::start().await;
        server.join("alice").await;
        let bob = server.connect(Codec::Samira1).await;
        let signup = json!({"action": "signup", "username": "bob", "nickname": "b", "password": PASSWORD});
        assert_eq!(server.ask(bob, signup).await, json!({"success": 1, "error_message": ""}));
        assert_eq!(server.say(bob, "bob", "alice_bob", "hé").await["success"], 1);
        assert_eq!(contents(&server.messages(bob, "bob", "alice_bob").await), ["hé"]);
        assert_eq!(server.ask(bob, chats("bob")).await["chats"][0]["unread_count"], 0);
    });
}
