//! Our own dialect on a real cluster: what one asks for, what others are pushed, in both codecs and over all nodes.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;

use anyhow::{Result, bail};
use tests::chat_client::Client;
use tests::cluster::Cluster;
use tests::legacy_client::{self, password};
use wire::chat::item::{Mark, Token};
use wire::chat::request::{
    Clear, Delete, DeleteAccount, History, Login, Marks, Next, Nickname, Nothing, Page, Password, Resume, Revoke, Send,
    Signup, Sync, Typing, Users, ViewLimit, Watch,
};
use wire::chat::{Code, Event, Reply, Request};
use wire::codec::Codec;

/// What a reply that was expected to be something else says.
fn unexpected<T>(reply: &Reply<'_>) -> Result<T> {
    bail!("unexpected: {reply:?}")
}

/// Asks for something that is granted with `done`.
#[track_caller]
fn done(client: &mut Client, request: Request<'_>) {
    client.ask(request, |reply| if matches!(reply, Reply::Done(_)) { Ok(()) } else { unexpected(&reply) }).unwrap();
}

/// Asks for something that is refused.
#[track_caller]
fn refusal(client: &mut Client, request: Request<'_>) -> Code {
    let code = client.ask(request, |reply| match reply {
        Reply::Error(error) => Ok(error.code),
        other => unexpected(&other),
    });
    code.unwrap()
}

/// Sends a message and returns its number.
#[track_caller]
fn send(client: &mut Client, conversation: u64, text: &str) -> u64 {
    let seq = client.take_seq();
    let sent = client.ask(Request::Send(Send { conversation, text, seq, ..Send::default() }), |reply| match reply {
        Reply::Sent(sent) => Ok(sent.number),
        other => unexpected(&other),
    });
    sent.unwrap()
}

/// What happened behind a cursor: texts of messages, summaries as (conversation, unread, behind), and the new cursor.
#[derive(Debug, PartialEq)]
struct Told {
    texts: Vec<String>,
    conversations: Vec<(u64, u64, bool)>,
    cursor: u64,
    more: bool,
}

#[track_caller]
fn sync(client: &mut Client, cursor: u64) -> Told {
    let told = client.ask(Request::Sync(Sync { cursor, ..Sync::default() }), |reply| match reply {
        Reply::Changes(changes) => Ok(Told {
            texts: changes.messages.iter().map(|message| message.text.to_owned()).collect(),
            conversations: changes.conversations.iter().map(|one| (one.conversation, one.unread, one.behind)).collect(),
            cursor: changes.cursor,
            more: changes.more,
        }),
        other => unexpected(&other),
    });
    told.unwrap()
}

/// Waits for the next event and returns what matters of it.
#[track_caller]
fn pushed(client: &mut Client) -> String {
    let shown = client.event(|event| {
        Ok(match event {
            Event::Message(message) => format!("message {} {}", message.number, message.text),
            Event::Deleted(deleted) => format!("deleted {}", deleted.number),
            Event::Mark(moved) => format!("mark {} {}", moved.mark.delivered, moved.mark.read),
            Event::Typing(typing) => format!("typing {}", typing.on),
            Event::Presence(presence) => format!("presence {}", presence.online),
            Event::Update(changes) => {
                let people = changes.people.iter().map(|one| format!(" {} gone={}", one.nickname, one.gone));
                let behind = changes.conversations.iter().filter(|one| one.behind);
                let behind = behind.map(|one| format!(" behind={}", one.unread));
                let texts = changes.messages.iter().map(|message| format!(" {}", message.text));
                format!("update{}", texts.chain(people).chain(behind).collect::<String>())
            }
            Event::Bye(bye) => format!("bye {:?}", bye.code),
            other => other.name().to_owned(),
        })
    });
    shown.unwrap()
}

fn acquaintance(tag: &str, here: (SocketAddr, Codec), there: (SocketAddr, Codec)) {
    let (ann, bob) = (format!("ann-{tag}"), format!("bob-{tag}"));
    let mut a = Client::logged_in(here.0, here.1, &ann).unwrap();
    let mut b = Client::logged_in(there.0, there.1, &bob).unwrap();
    assert!(!sync(&mut a, 0).more && !sync(&mut b, 0).more);

    // A new conversation is told as a whole, messages one by one.
    let chat = a.open(&bob).unwrap();
    assert_eq!(pushed(&mut a), "update");
    assert_eq!(pushed(&mut b), "update");
    assert_eq!(send(&mut a, chat, "one"), 1);
    assert_eq!(pushed(&mut a), "message 1 one");
    assert_eq!(pushed(&mut b), "message 1 one");
    assert_eq!(send(&mut b, chat, "two ünïcödé 🦀"), 2);
    assert_eq!(pushed(&mut a), "message 2 two ünïcödé 🦀");
    assert_eq!(pushed(&mut b), "message 2 two ünïcödé 🦀");

    // A write that is sent again has the same answer, and no effect.
    let seq = 1;
    let again = Request::Send(Send { conversation: chat, text: "one", seq, ..Send::default() });
    let number = a.ask(again, |reply| if let Reply::Sent(sent) = reply { Ok(sent.number) } else { unexpected(&reply) });
    assert_eq!(number.unwrap(), 1);
    let gap = Request::Send(Send { conversation: chat, text: "x", seq: seq + 9, ..Send::default() });
    assert_eq!(refusal(&mut a, gap), Code::OutOfOrder);

    // Marks, deletions, nicknames.
    let mark = Mark { conversation: chat, user: 0, delivered: 0, read: 1 };
    done(&mut b, Request::Mark(Marks { marks: vec![mark].into() }));
    assert_eq!((pushed(&mut a), pushed(&mut b)), ("mark 1 1".into(), "mark 1 1".into()));
    let not_ones_own = Delete { conversation: chat, numbers: vec![1].into(), seq: b.take_seq() };
    assert_eq!(refusal(&mut b, Request::Delete(not_ones_own)), Code::NotYours);
    let own = Delete { conversation: chat, numbers: vec![2].into(), seq: b.take_seq() };
    let removed = b.ask(Request::Delete(own), |reply| match reply {
        Reply::Removed(count) => Ok(count.count),
        other => unexpected(&other),
    });
    assert_eq!(removed.unwrap(), 1);
    assert_eq!((pushed(&mut a), pushed(&mut b)), ("deleted 2".into(), "deleted 2".into()));
    let seq = b.take_seq();
    done(&mut b, Request::Nickname(Nickname { nickname: "Bobby", seq }));
    assert_eq!(pushed(&mut a), "update Bobby gone=false");
    assert_eq!(pushed(&mut b), "update");
    let seq = b.take_seq();
    assert_eq!(refusal(&mut b, Request::Nickname(Nickname { nickname: " ", seq })), Code::NameRefused);

    // Whoever types is seen by the other one, on whatever node; who is watched is seen to come.
    done(&mut b, Request::Typing(Typing { conversation: chat, on: true }));
    assert_eq!(pushed(&mut a), "typing true");
    let user_of = |client: &mut Client| {
        let user = client.ask(Request::Account(Nothing {}), |reply| match reply {
            Reply::Profile(account) => Ok(account.user),
            other => unexpected(&other),
        });
        user.unwrap()
    };
    let bob_id = user_of(&mut b);
    done(&mut a, Request::Watch(Watch { users: vec![bob_id].into() }));
    assert_eq!(pushed(&mut a), "presence true");

    // Who is away is told how much there is, and handed as much as the view limit says.
    drop(b);
    let seq = a.take_seq();
    done(&mut a, Request::ViewLimit(ViewLimit { view_limit: 2, seq }));
    assert_eq!(pushed(&mut a), "update");
    let mut b = Client::logged_in(here.0, there.1, &bob).unwrap();
    let limit = b.take_seq();
    done(&mut b, Request::ViewLimit(ViewLimit { view_limit: 2, seq: limit }));
    for text in ["three", "four", "five"] {
        send(&mut a, chat, text);
    }
    let told = sync(&mut b, 0);
    assert_eq!(told.texts, ["three", "four"]);
    assert_eq!(told.conversations, [(chat, 3, true)]);
    send(&mut a, chat, "six");
    assert_eq!(pushed(&mut b), "update behind=4", "a backlog is only counted");
    let next = |client: &mut Client, after| {
        let handed = client.ask(Request::Next(Next { conversation: chat, after }), |reply| match reply {
            Reply::Messages(messages) => Ok((
                messages.messages.iter().map(|message| message.text.to_owned()).collect::<Vec<_>>(),
                messages.more,
                messages.unread,
            )),
            other => unexpected(&other),
        });
        handed.unwrap()
    };
    assert_eq!(next(&mut b, 4), (vec!["five".into(), "six".into()], false, 0));
    send(&mut a, chat, "seven");
    assert_eq!(pushed(&mut b), "message 7 seven");
    let history = |client: &mut Client, after, before| {
        let page = History { conversation: chat, after, before, limit: 3 };
        let page = client.ask(Request::History(page), |reply| match reply {
            Reply::Messages(messages) => {
                Ok((messages.messages.iter().map(|message| message.number).collect::<Vec<_>>(), messages.more))
            }
            other => unexpected(&other),
        });
        page.unwrap()
    };
    assert_eq!(history(&mut a, 0, 0), (vec![7, 6, 5], true));
    assert_eq!(history(&mut a, 0, 5), (vec![4, 3, 1], false));
    assert_eq!(history(&mut a, 3, 0), (vec![4, 5, 6], true));

    // One's own view can be emptied; the other's stays.
    let seq = b.take_seq();
    done(&mut b, Request::Clear(Clear { conversation: chat, upto: 6, seq }));
    assert_eq!(history(&mut b, 0, 0), (vec![7], false));
    assert_eq!(history(&mut a, 0, 0).0, [7, 6, 5]);

    // Search, the list of conversations, and the end of an account.
    let people =
        a.ask(Request::Users(Users { pattern: &format!("*-{tag}"), skip: 0, limit: 1 }), |reply| match reply {
            Reply::Users(users) => {
                Ok((users.people.iter().map(|one| one.username.to_owned()).collect::<Vec<_>>(), users.total))
            }
            other => unexpected(&other),
        });
    assert_eq!(people.unwrap(), (vec![ann], 2));
    let list = a.ask(Request::Conversations(Page::default()), |reply| match reply {
        Reply::Conversations(list) => Ok(list.conversations.iter().map(|one| one.conversation).collect::<Vec<_>>()),
        other => unexpected(&other),
    });
    assert_eq!(list.unwrap(), [chat]);
    let secret = password(&bob);
    let delete = |confirm| Request::DeleteAccount(DeleteAccount { password: &secret, confirm });
    let lost = |client: &mut Client, request| {
        let lost = client
            .ask(request, |reply| if let Reply::Lost(count) = reply { Ok(count.count) } else { unexpected(&reply) });
        lost.unwrap()
    };
    let wrong = DeleteAccount { password: &password("somebody else"), confirm: true };
    assert_eq!(refusal(&mut b, Request::DeleteAccount(wrong)), Code::WrongPassword);
    assert_eq!(lost(&mut b, delete(false)), 1, "seven is unread");
    assert_eq!(lost(&mut b, delete(true)), 1);
    let seq = a.take_seq();
    let late = Request::Send(Send { conversation: chat, text: "are you there?", seq, ..Send::default() });
    assert_eq!(refusal(&mut a, late), Code::PeerGone);
}

#[test]
fn two_people_over_two_nodes_in_both_codecs() {
    let cluster = Cluster::start(3);
    let address = |node: usize| cluster.nodes[node].address();
    let (leader, follower) = (cluster.leader(), cluster.follower());
    acquaintance("sj", (address(leader), Codec::Samira2), (address(follower), Codec::Json2));
    acquaintance("js", (address(follower), Codec::Json2), (address(leader), Codec::Samira2));
    cluster.settle();
    cluster.stop();
}

#[test]
fn accounts_and_messages_cross_the_dialects() {
    let cluster = Cluster::start(3);
    let address = |node: usize| cluster.nodes[node].address();
    let mut old = legacy_client::Client::connect(address(0), Codec::Json).unwrap();
    old.signup("old").unwrap();
    let mut new = Client::logged_in(address(1), Codec::Samira2, "new").unwrap();
    sync(&mut new, 0);

    // Made there, used here, and the other way round.
    drop(Client::logged_in(address(2), Codec::Json2, "old").unwrap());
    let mut visitor = legacy_client::Client::connect(address(2), Codec::Samira1).unwrap();
    visitor.login("new").unwrap();

    let chat = old.start_chat("old", "new").unwrap();
    assert_eq!(pushed(&mut new), "update");
    old.send(&chat, "old", "from the old world").unwrap();
    assert_eq!(pushed(&mut new), "message 1 from the old world");
    let conversation = new.open("old").unwrap();
    send(&mut new, conversation, "from the new one");
    let shown = old.messages(&chat, "old").unwrap();
    let texts: Vec<&str> = shown.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(texts, ["from the old world", "from the new one"]);
    // Its reading, and its deletion, are told here as well.
    assert_eq!((pushed(&mut new), pushed(&mut new)), ("message 2 from the new one".into(), "mark 2 2".into()));
    old.delete_messages(&chat, "old", &[0]).unwrap();
    assert_eq!(pushed(&mut new), "deleted 1");
    cluster.settle();
}

/// Who was let in, as what, and with what it comes back.
fn enter(client: &mut Client, request: Request<'_>) -> Result<(u64, Option<Token>, u64)> {
    client.ask(request, |reply| match reply {
        Reply::Session(session) => Ok((session.device, session.token, session.last_seq)),
        other => unexpected(&other),
    })
}

#[test]
fn a_refusal_costs_nobody_a_name_or_a_login() {
    let cluster = Cluster::start(1);
    let secret = password("ann");
    let long = "d".repeat(65);
    let signup =
        |device_name| Request::Signup(Signup { username: "ann", password: &secret, device_name, ..Signup::default() });
    let mut client = Client::connect(cluster.nodes[0].address(), Codec::Json2).unwrap();
    assert_eq!(refusal(&mut client, signup(&long)), Code::NameRefused);
    enter(&mut client, signup("desk")).unwrap();
    // An id that nobody ever had is a mistake of the sender's program, which stays logged in.
    let to_nobody = Send { user: 999_999, text: "x", seq: client.take_seq(), ..Send::default() };
    assert_eq!(refusal(&mut client, Request::Send(to_nobody)), Code::Malformed);
    let is_profile = client.ask(Request::Account(Nothing {}), |reply| Ok(matches!(reply, Reply::Profile(_))));
    assert!(is_profile.unwrap());
}

/// The run of the program whose device is resumed.
const LIFE: u64 = 77;

#[test]
fn tokens_are_replaced_and_an_old_one_locks_its_device_out() {
    let cluster = Cluster::start(3);
    let address = |node: usize| cluster.nodes[node].address();
    drop(Client::logged_in(address(0), Codec::Samira2, "ann").unwrap());
    let secret = password("ann");
    let login = Request::Login(Login { username: "ann", password: &secret, device_name: "desk", ..Login::default() });
    let mut desk = Client::connect(address(0), Codec::Samira2).unwrap();
    let (device, first, last_seq) = enter(&mut desk, login).unwrap();
    assert_eq!(last_seq, 0);
    let chat = desk.open("ann").unwrap();
    send(&mut desk, chat, "a note");
    drop(desk);

    let resume = |node: usize, token| {
        let mut client = Client::connect(address(node), Codec::Json2).unwrap();
        let entered = enter(&mut client, Request::Resume(Resume { device, token, life: LIFE }));
        entered.map(|entered| (client, entered))
    };
    // On any node; as often as the reply may be lost.
    let (_, (same, lost, last_seq)) = resume(1, first).unwrap();
    assert_eq!((same, last_seq), (device, 1));
    let (_, (_, second, _)) = resume(2, first).unwrap();
    assert_ne!(lost, second);
    let (mut live, (_, third, _)) = resume(0, second).unwrap();
    sync(&mut live, 0);
    assert!(third.is_some());

    // What the same run of the program asked long before comes late: no token, and no harm.
    let mut late = Client::connect(address(1), Codec::Samira2).unwrap();
    let request = Request::Resume(Resume { device, token: first, life: LIFE });
    assert_eq!(refusal(&mut late, request), Code::Unavailable);
    live.ask(Request::Ping(Nothing {}), |_| Ok(())).unwrap();

    // Somebody who has copied the first one shows up: nobody goes on with this device.
    let mut thief = Client::connect(address(1), Codec::Samira2).unwrap();
    assert_eq!(
        refusal(&mut thief, Request::Resume(Resume { device, token: first, ..Resume::default() })),
        Code::TokenReused
    );
    assert_eq!(pushed(&mut live), "bye Revoked");
    let mut again = Client::connect(address(2), Codec::Samira2).unwrap();
    assert_eq!(
        refusal(&mut again, Request::Resume(Resume { device, token: third, ..Resume::default() })),
        Code::BadToken
    );
}

#[test]
fn devices_are_listed_and_logged_out_from_elsewhere() {
    let cluster = Cluster::start(3);
    let address = |node: usize| cluster.nodes[node].address();
    let mut first = Client::logged_in(address(0), Codec::Samira2, "ann").unwrap();
    let secret = password("ann");
    let login = Request::Login(Login { username: "ann", password: &secret, device_name: "phone", ..Login::default() });
    let mut phone = Client::connect(address(1), Codec::Samira2).unwrap();
    let (device, ..) = enter(&mut phone, login.clone()).unwrap();
    sync(&mut phone, 0);
    let devices = |client: &mut Client| {
        let devices = client.ask(Request::Devices(Nothing {}), |reply| match reply {
            Reply::Devices(devices) => {
                Ok(devices.devices.iter().map(|one| (one.device_name.to_owned(), one.own)).collect::<Vec<_>>())
            }
            other => unexpected(&other),
        });
        devices.unwrap()
    };
    assert_eq!(devices(&mut first), [(String::new(), true), ("phone".into(), false)]);
    assert_eq!(refusal(&mut first, Request::Revoke(Revoke { device: 1 })), Code::NoSuchDevice);
    done(&mut first, Request::Revoke(Revoke { device }));
    assert_eq!(pushed(&mut phone), "bye Revoked");

    // A new password logs all others out.
    let mut phone = Client::connect(address(1), Codec::Samira2).unwrap();
    enter(&mut phone, login.clone()).unwrap();
    sync(&mut phone, 0);
    let new = password("something else");
    done(&mut first, Request::Password(Password { password: &secret, new_password: &new }));
    assert_eq!(pushed(&mut phone), "bye Revoked");
    let mut phone = Client::connect(address(1), Codec::Samira2).unwrap();
    assert_eq!(refusal(&mut phone, login), Code::BadCredentials);
    // Who logs out may go on as somebody else, on the same connection.
    done(&mut first, Request::Logout(Nothing {}));
    assert_eq!(refusal(&mut first, Request::Account(Nothing {})), Code::NotLoggedIn);
    let login = Request::Login(Login { username: "ann", password: &new, ..Login::default() });
    enter(&mut first, login).unwrap();
}

#[test]
fn what_is_out_of_place_is_refused_and_nothing_else_suffers() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    let mut client = Client::connect(address, Codec::Json2).unwrap();
    assert_eq!(refusal(&mut client, Request::Account(Nothing {})), Code::NotLoggedIn);
    assert_eq!(refusal(&mut client, Request::Hello(Default::default())), Code::OutOfPlace);
    let mut ann = Client::logged_in(address, Codec::Json2, "ann").unwrap();
    assert_eq!(refusal(&mut ann, Request::Login(Login::default())), Code::OutOfPlace);
    let seq = ann.take_seq();
    let long = "x".repeat(wire::limits::MESSAGE_TEXT_BYTES_MAX + 1);
    let text = &long[1..];
    let chat = ann.open("ann").unwrap();
    let send_text = |text, seq| Request::Send(Send { conversation: chat, text, seq, ..Send::default() });
    assert_eq!(refusal(&mut ann, send_text(&long, seq)), Code::Malformed);
    let seq = ann.take_seq();
    let sent =
        ann.ask(
            send_text(text, seq),
            |reply| if let Reply::Sent(sent) = reply { Ok(sent.number) } else { unexpected(&reply) },
        );
    assert_eq!(sent.unwrap(), 1, "the number of the refused one was used up, and the longest text fits");
    let seq = ann.take_seq();
    assert_eq!(refusal(&mut ann, send_text("", seq)), Code::Malformed);
    let seq = ann.take_seq();
    let elsewhere = Request::Send(Send { conversation: 999, text: "x", seq, ..Send::default() });
    assert_eq!(refusal(&mut ann, elsewhere), Code::NoSuchConversation);
    let nobody = Request::Send(Send { username: "nobody", text: "x", seq: ann.take_seq(), ..Send::default() });
    assert_eq!(refusal(&mut ann, nobody), Code::NoSuchUser);
    assert_eq!(send(&mut ann, chat, "still here"), 2);
}
