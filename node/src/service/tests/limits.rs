//! The view limit, and what fits a reply.

use super::*;

/// Texts `from..to` as they are sent here.
fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("message {number}")).collect()
}

async fn send(server: &mut Server, client: Client, name: &str, texts: &[String]) {
    for text in texts {
        assert_eq!(server.say(client, name, "alice_bob", text).await, done());
    }
}

fn start_chat(me: &str, other: &str) -> Value {
    json!({"action": "start_chat", "current_user": me, "other_user": other})
}

fn delete(me: &str, places: &[u64]) -> Value {
    json!({"action": "delete_messages", "chat_id": "alice_bob", "message_indices": places, "current_user": me})
}

async fn unread(server: &mut Server, client: Client, name: &str) -> Value {
    server.ask(client, chats(name)).await["chats"][0]["unread_count"].clone()
}

#[test]
fn one_request_hands_over_at_most_the_view_limit_oldest_first() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let save = json!({"action": "save_settings", "username": "bob", "message_limit": "2"});
        server.ask(bob, save).await;
        send(&mut server, alice, "alice", &texts(0..5)).await;
        server.say(bob, "bob", "alice_bob", "mine, behind the backlog").await;

        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(contents(&shown), texts(0..2));
        assert_eq!(unread(&mut server, bob, "bob").await, 3);
        // With a backlog, new arrivals push only the count.
        send(&mut server, alice, "alice", &texts(6..7)).await;
        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(contents(&shown), texts(0..4));
        assert_eq!(flags(&shown), [1, 1, 0, 0]);
        assert_eq!(unread(&mut server, bob, "bob").await, 2);
        let shown = server.messages(bob, "bob", "alice_bob").await;
        let all = [&texts(0..5)[..], &["mine, behind the backlog".to_owned()], &texts(6..7)].concat();
        assert_eq!(contents(&shown), all);
        assert_eq!(unread(&mut server, bob, "bob").await, 0);
        assert_eq!(flags(&server.messages(bob, "bob", "alice_bob").await), [1, 1, 1, 1, 1, 0, 1]);
    });
}

#[test]
fn history_is_filled_with_the_newest_that_fit() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let save = json!({"action": "save_settings", "username": "bob", "message_limit": 1000});
        server.ask(bob, save).await;
        let all = texts(0..60);
        send(&mut server, alice, "alice", &all).await;
        // Her own messages are history to her: the newest are shown.
        let shown = server.messages(alice, "alice", "alice_bob").await;
        let count = contents(&shown).len();
        assert!((12..20).contains(&count), "{count}");
        assert_eq!(contents(&shown), all[60 - count..]);

        // His are unread: the oldest first, and only what was sent is marked.
        let mut seen = 0;
        while seen < 60 {
            server.ask(bob, start_chat("bob", "alice")).await;
            let shown = server.messages(bob, "bob", "alice_bob").await;
            let new: Vec<usize> = (0..flags(&shown).len()).filter(|&at| flags(&shown)[at] == 0).collect();
            assert!(!new.is_empty());
            assert_eq!(contents(&shown)[new[0]], all[seen]);
            assert_eq!(*contents(&shown).last().unwrap(), all[seen + new.len() - 1]);
            seen += new.len();
            assert_eq!(unread(&mut server, bob, "bob").await, 60 - seen);
        }
        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(*contents(&shown).last().unwrap(), "message 59");

        // Places count in the list that was shown, not in the whole history.
        assert_eq!(server.ask(alice, delete("alice", &[0])).await, done());
        server.ask(alice, start_chat("alice", "bob")).await;
        let after = server.messages(alice, "alice", "alice_bob").await;
        assert!(!contents(&after).contains(&all[60 - count].as_str()));
        assert!(contents(&after).contains(&all[60 - count - 1].as_str()));
    });
}

#[test]
fn an_open_page_is_appended_to_and_keeps_its_places() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let all = texts(0..40);
        send(&mut server, alice, "alice", &all).await;
        let first = server.messages(alice, "alice", "alice_bob").await;
        let count = contents(&first).len();
        assert_eq!(server.messages(alice, "alice", "alice_bob").await, first, "nothing is new");
        for number in 0..20 {
            server.say(bob, "bob", "alice_bob", &format!("new {number}")).await;
            let list = server.messages(alice, "alice", "alice_bob").await;
            assert_eq!(
                (contents(&list).len(), contents(&list)[count + number]),
                (count + number + 1, &*format!("new {number}"))
            );
            let kept = contents(&list).iter().position(|&text| text != "...").unwrap();
            assert!(kept <= (number + 1) * 3 / 2 + 1, "as much as fits is there in full");
        }
        // Her oldest message in the list has no room there any more, and can be deleted all the same.
        let list = server.messages(alice, "alice", "alice_bob").await;
        assert_eq!(list["messages"][0], json!({"sender": "", "content": "..."}));
        assert_eq!(server.ask(alice, delete("alice", &[0])).await, done());
        let left = server.texts(1);
        assert!(!left.contains(&all[40 - count]) && left.len() == 59);
        // Her own deletion takes the place away, his does not.
        assert_eq!(contents(&server.messages(alice, "alice", "alice_bob").await).len(), count + 19);
        let his = Command::DeleteMessages { user: 2, chat: Chat::Id(1), numbers: vec![60] };
        assert_eq!(server.with(|inner| inner.machine.apply(his)), Outcome::Deleted { count: 1 });
        let list = server.messages(alice, "alice", "alice_bob").await;
        assert_eq!((contents(&list).len(), *contents(&list).last().unwrap()), (count + 19, "(deleted)"));
    });
}

#[test]
fn a_text_that_fits_no_reply_is_cut_at_a_character() {
    run(async {
        let mut server = Server::start().await;
        let (alice, bob) = (server.join("alice").await, server.join("bob").await);
        let longest = "\u{1f525}".repeat(wire::limits::MESSAGE_TEXT_BYTES_MAX / 4);
        assert_eq!(server.say(alice, "alice", "alice_bob", &longest).await, done());
        let too_long = refused("The message is longer than 65536 bytes.");
        assert_eq!(server.say(alice, "alice", "alice_bob", &format!("{longest}x")).await, too_long);
        server.say(alice, "alice", "alice_bob", "behind").await;

        let check = |shown: &Value| {
            let text = contents(shown)[0].to_owned();
            let kept = text.strip_suffix('…').unwrap();
            assert!(kept.chars().all(|c| c == '\u{1f525}'));
            kept.chars().count()
        };
        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(contents(&shown).len(), 1, "all the room went to the cut text");
        assert!(check(&shown) > 100);
        assert_eq!(unread(&mut server, bob, "bob").await, 1);
        let shown = server.messages(bob, "bob", "alice_bob").await;
        assert_eq!(contents(&shown)[1], "behind");
        assert!(check(&shown) > 100);

        // The same in the other codec, where a character takes a third of the bytes.
        let samira = server.connect(Codec::Samira1).await;
        server.ask(samira, login("bob")).await;
        assert!(check(&server.messages(samira, "bob", "alice_bob").await) > 300);
    });
}

#[test]
fn lists_are_cut_to_what_fits() {
    run(async {
        let mut server = Server::start().await;
        let me = server.join("me").await;
        let names: Vec<String> = (0..60).map(|number| format!("{}{number:02}", "x".repeat(60))).collect();
        let ids: Vec<u64> = names.iter().map(|name| server.with(|inner| inner.machine.signup(name))).collect();
        let all = server.ask(me, json!({"action": "get_all_users", "exclude_username": "me"})).await;
        let shown = all["users"].as_array().unwrap();
        assert!((25..32).contains(&shown.len()), "{}", shown.len());
        assert_eq!(shown[0], names[0].as_str());
        for (id, name) in ids.iter().zip(&names) {
            let chat = wire::replication::command::Chat::Legacy(&format!("me_{name}"));
            server.with(|inner| inner.machine.apply(Command::Send { user: *id, chat, text: "x" }));
        }
        let chats = server.ask(me, chats("me")).await;
        let shown = chats["chats"].as_array().unwrap();
        assert!((9..14).contains(&shown.len()), "{}", shown.len());
        assert_eq!(shown[0]["other_user"], names[59].as_str());
    });
}

#[test]
fn names_of_the_longest_kind_fit_every_reply() {
    run(async {
        let mut server = Server::start().await;
        // Twelve bytes of JSON per character.
        let (one, two) = ("\u{1f525}".repeat(64), "\u{1f30a}".repeat(64));
        let first = server.join(&one).await;
        server.join(&two).await;
        let start = json!({"action": "start_chat", "current_user": one, "other_user": two});
        let chat = server.ask(first, start).await["chat_id"].as_str().unwrap().to_owned();
        assert_eq!(server.say(first, &one, &chat, "x").await, done());
        // Too large to be listed, and no error either.
        assert_eq!(server.ask(first, chats(&one)).await["chats"], json!([]));
        server.messages(first, &one, &chat).await;
        let nobody = "\u{1f4a7}".repeat(64);
        let start = json!({"action": "start_chat", "current_user": one, "other_user": nobody});
        assert_eq!(server.ask(first, start).await["success"], true);
        let chat = format!("{one}_{nobody}");
        assert_eq!(server.say(first, &one, &chat, "x").await["success"], false);
        let start = json!({"action": "start_chat", "current_user": one, "other_user": format!("{nobody}x")});
        assert_eq!(server.ask(first, start).await, refused("This user name is longer than 64 characters."));
    });
}
