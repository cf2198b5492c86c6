//! Three nodes of which two die: the third shows what it has, stores nothing, says what is missing, and goes on by
//! itself when one of the others returns.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use tests::cluster::Cluster;
use tests::legacy_client::{Call, CallError, Client};
use tests::oracle::{Ledger, Told};
use tests::{now, wait_until};
use wire::codec::Codec;
use wire::legacy::Request;
use wire::legacy::reply::{Chat, ChatsReply, LimitReply, Message, MessagesReply, Outcome, UsersReply};

/// A write is held for ten seconds; less would refuse what a moment later could be stored.
const HELD_MIN: Duration = Duration::from_secs(9);

/// Far above it, for a loaded machine.
const HELD_MAX: Duration = Duration::from_secs(25);

/// A bystander, a reader and a writer in one codec, all on the same node.
struct People {
    codec: Codec,
    chat: String,
    ann: Client,
    bob: Client,
    /// The name of each.
    names: [String; 2],
}

impl People {
    /// Makes accounts and a conversation with one unread message for `bob`.
    fn move_in(cluster: &Cluster, place: usize, codec: Codec) -> Self {
        let names = [format!("ann-{codec:?}"), format!("bob-{codec:?}")];
        let address = cluster.nodes[place].address();
        let connect = |name: &String| {
            let mut client = Client::connect(address, codec).unwrap();
            client.signup(name).unwrap();
            client.login(name).unwrap();
            client
        };
        let [mut ann, bob] = [connect(&names[0]), connect(&names[1])];
        let chat = ann.start_chat(&names[0], &names[1]).unwrap();
        ann.send(&chat, &names[0], &format!("hello {codec:?}")).unwrap();
        People { codec, chat, ann, bob, names }
    }

    /// Everything that can be read says that it may be old, and reading it marks nothing.
    fn read_stale(&mut self, client: &mut Client) {
        let bob = self.names[1].as_str();
        for _ in 0..2 {
            let messages: MessagesReply<Vec<Message<String>>, String> = client
                .call_raw(&Request::GetMessages { chat_id: (&*self.chat).into(), current_user: bob.into() })
                .unwrap();
            assert!(messages.stale && messages.success == Some(true));
            assert_eq!(messages.messages.len(), 1);
            let chats: ChatsReply<Vec<Chat<String>>, String> =
                client.call_raw(&Request::GetChats { user_id: bob.into() }).unwrap();
            assert!(chats.stale && chats.success);
            assert_eq!(chats.chats[0].unread_count, 1, "a stale read marks nothing");
        }
        let users: UsersReply<Vec<String>, String> =
            client.call_raw(&Request::GetAllUsers { exclude_username: wire::legacy::field::Field::Missing }).unwrap();
        assert!(users.stale && users.success);
        let limit: LimitReply<String, String> =
            client.call_raw(&Request::GetUserMessageLimit { username: bob.into() }).unwrap();
        assert!(limit.stale);
    }
}

fn refusal(call: Call<()>) -> String {
    match call {
        Err(CallError::Refused(text)) => text,
        other => panic!("a minority answered a write with {other:?}"),
    }
}

#[test]
fn one_of_three_reads_on_holds_writes_refuses_them_and_resumes() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let last = (leader + 1) % 3;
    let ledger = Ledger::default();
    let mut people = Codec::LEGACY.map(|codec| People::move_in(&cluster, last, codec));
    cluster.settle();
    let dead = [leader, (leader + 2) % 3];
    cluster.kill_together(&dead);
    let survivor = &cluster.nodes[last];

    // Reads go on, for those who are there and those who come.
    for one in &mut people {
        let mut newcomer = Client::connect(survivor.address(), one.codec).unwrap();
        let login = newcomer.login(&one.names[1]).unwrap();
        assert!(login.stale, "a login without a quorum says so");
        one.read_stale(&mut newcomer);
        let said = refusal(newcomer.send(&one.chat, &one.names[1], "from a session that can only read"));
        assert!(said.contains("Nothing was stored") && said.contains("only read"), "{said}");
    }

    // Writes are held, all at once, then refused; reads on other connections do not wait behind them.
    let began = now();
    for one in &mut people {
        let (text, ann) = (format!("into the void {:?}", one.codec), one.names[0].as_str());
        let send = Request::SendChatMessage {
            chat_id: (&*one.chat).into(),
            sender: ann.into(),
            content: text.as_str().into(),
        };
        let send = one.ann.encode(&send);
        one.ann.send_bytes(&send).unwrap();
    }
    for one in &mut people {
        let mut bob = std::mem::replace(&mut one.bob, Client::connect(survivor.address(), one.codec).unwrap());
        one.read_stale(&mut bob);
        one.bob = bob;
    }
    assert!(now() - began < HELD_MIN, "reads waited behind held writes");
    for one in &mut people {
        let text = format!("into the void {:?}", one.codec);
        let said = refusal(ledger.record(&text, || {
            let outcome: Outcome<String> = one.ann.receive()?;
            if outcome.success { Ok(()) } else { Err(CallError::Refused(outcome.error_message)) }
        }));
        assert!(said.contains("stored") && said.contains("1 of 3 servers can be reached, 2 are needed"), "{said}");
        for place in dead {
            let away = &cluster.nodes[place];
            assert!(said.contains(&format!("{} ({})", away.name, away.address())), "{said}");
        }
    }
    let held = now() - began;
    assert!((HELD_MIN..HELD_MAX).contains(&held), "held for {held:?}");

    // One returns while further writes are held: they are stored, and everything goes on by itself.
    for one in &mut people {
        let (text, ann) = (format!("held {:?}", one.codec), one.names[0].as_str());
        let send = Request::SendChatMessage {
            chat_id: (&*one.chat).into(),
            sender: ann.into(),
            content: text.as_str().into(),
        };
        let send = one.ann.encode(&send);
        one.ann.send_bytes(&send).unwrap();
    }
    let ready = cluster.nodes[dead[1]].spawn(None);
    for one in &mut people {
        let text = format!("held {:?}", one.codec);
        let stored = ledger.record(&text, || {
            let outcome: Outcome<String> = one.ann.receive()?;
            if outcome.success { Ok(()) } else { Err(CallError::Refused(outcome.error_message)) }
        });
        assert!(stored.is_ok(), "held, and then not stored: {stored:?}");
    }
    cluster.nodes[dead[1]].wait_ready(&ready);
    for one in &mut people {
        let (chat, bob) = (one.chat.as_str(), one.names[1].as_str());
        wait_until("reads to be fresh again", || {
            let reply: MessagesReply<Vec<Message<String>>, String> =
                one.bob.call_raw(&Request::GetMessages { chat_id: chat.into(), current_user: bob.into() }).unwrap();
            !reply.stale
        });
        assert_eq!(one.bob.chats(bob).unwrap()[0].unread_count, 0, "a fresh read marks as before");
        let text = format!("as if nothing had been {:?}", one.codec);
        ledger.record(&text, || one.bob.send(chat, bob, &text)).unwrap();
    }
    cluster.nodes[dead[0]].start(None);
    cluster.wait_voters(3);
    cluster.settle();
    cluster.stop();
    assert_eq!(ledger.count(Told::Stored), 2 * people.len());
    ledger.check(&cluster.nodes);
}
