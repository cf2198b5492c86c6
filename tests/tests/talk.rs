//! What two people can do with each other, on any two nodes, in any two codecs.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;

use tests::cluster::Cluster;
use tests::legacy_client::{Call, CallError, Client};
use wire::codec::Codec;

/// Texts of `messages`, with whether the receiver had read each.
type Shown = Vec<(String, bool)>;

fn shown(client: &mut Client, chat: &str, me: &str) -> Shown {
    client.messages(chat, me).unwrap().into_iter().map(|message| (message.content, message.read == 1)).collect()
}

fn unread(client: &mut Client, me: &str) -> Vec<(String, i64)> {
    client.chats(me).unwrap().into_iter().map(|chat| (chat.other_user, chat.unread_count)).collect()
}

#[track_caller]
fn refusal<T>(call: Call<T>) -> String {
    match call {
        Ok(_) => panic!("it was granted"),
        Err(CallError::Refused(text)) => text,
        Err(CallError::Io(error)) => panic!("{error}"),
    }
}

/// Where somebody is and what their client speaks.
#[derive(Clone, Copy)]
struct Seat {
    address: SocketAddr,
    codec: Codec,
}

impl Seat {
    fn sit(self, name: &str) -> Client {
        Client::logged_in(self.address, self.codec, name).unwrap()
    }
}

/// The whole life of an acquaintance. `tag` keeps the names of several runs apart.
fn acquaintance(tag: &str, here: Seat, there: Seat) {
    let (ann, bob) = (format!("ann-{tag}"), format!("Bob-{tag}"));

    // Accounts: made here, used there, at once.
    let mut a = Client::connect(here.address, here.codec).unwrap();
    a.signup(&ann).unwrap();
    assert_eq!(refusal(a.signup(&ann)), "Username already taken.");
    assert_eq!(refusal(a.signup("")), "All fields are required.");
    let mut b = Client::connect(there.address, there.codec).unwrap();
    assert_eq!(refusal(b.chats(&ann)), "Please log in first.");
    assert_eq!(refusal(b.login(&bob)), "Invalid username or password.");
    b.signup(&bob).unwrap();
    let login = a.login(&ann).unwrap();
    assert_eq!((login.nickname, login.view_limit), (ann.to_uppercase(), 6));
    b.login(&bob).unwrap();
    drop(there.sit(&ann));

    // Search: any part of a name, whatever its case, without oneself, page by page.
    assert_eq!(a.search(&ann, &bob.to_lowercase(), 1, 10).unwrap(), [bob.as_str()]);
    assert!(a.search(&ann, &ann, 1, 10).unwrap().is_empty());
    let both = b.search(&bob, tag, 1, 1).unwrap();
    assert_eq!((both, b.search(&bob, tag, 2, 1).unwrap().len()), (vec![ann.clone()], 0));

    // A conversation is listed from its first message on.
    let chat = a.start_chat(&ann, &bob).unwrap();
    assert_eq!(b.start_chat(&bob, &ann).unwrap(), chat, "both name it alike");
    assert!(unread(&mut a, &ann).is_empty());
    a.send(&chat, &ann, "one").unwrap();
    a.send(&chat, &ann, "two ünïcödé 🦀").unwrap();
    assert_eq!(unread(&mut b, &bob), [(ann.clone(), 2)]);
    assert_eq!(unread(&mut a, &ann), [(bob.clone(), 0)]);

    // Reading marks as read; the flags are as they were before.
    let two = |read| vec![("one".into(), read), ("two ünïcödé 🦀".into(), read)];
    assert_eq!(shown(&mut b, &chat, &bob), two(false) as Shown);
    assert_eq!(unread(&mut b, &bob), [(ann.clone(), 0)]);
    assert_eq!(shown(&mut a, &chat, &ann), two(true) as Shown);
    b.send(&chat, &bob, "three").unwrap();
    assert_eq!(unread(&mut a, &ann), [(bob.clone(), 1)]);

    // The view limit bounds how many unread messages come at once, oldest first.
    assert_eq!(a.limit(&ann).unwrap(), "6");
    a.set_limit(&ann, "2").unwrap();
    assert_eq!(a.limit(&ann).unwrap(), "2");
    for text in ["four", "five", "six"] {
        b.send(&chat, &bob, text).unwrap();
    }
    let texts = |shown: Shown| shown.into_iter().map(|(text, _)| text).collect::<Vec<_>>();
    assert_eq!(texts(shown(&mut a, &chat, &ann))[2..], ["three", "four"]);
    assert_eq!(unread(&mut a, &ann), [(bob.clone(), 2)]);
    assert_eq!(texts(shown(&mut a, &chat, &ann))[2..], ["three", "four", "five", "six"]);
    assert!(refusal(a.set_limit(&ann, "many")).contains("whole number"));

    // People delete what they sent, by its place in the list they were shown, and nothing else.
    assert_eq!(texts(shown(&mut b, &chat, &bob)).len(), 6);
    b.delete_messages(&chat, &bob, &[2, 4]).unwrap();
    assert!(refusal(a.delete_messages(&chat, &ann, &[3])).contains("only delete"));
    let kept = ["one", "two ünïcödé 🦀", "(deleted)", "four", "(deleted)", "six"];
    assert_eq!(texts(shown(&mut a, &chat, &ann)), kept, "an open page keeps its places");
    a.start_chat(&ann, &bob).unwrap();
    assert_eq!(texts(shown(&mut a, &chat, &ann)), ["one", "two ünïcödé 🦀", "four", "six"]);
    assert!(refusal(a.delete_user(&bob)).contains("oneself"));

    // Who is away finds everything later, on whichever node.
    drop(b);
    for i in 0..3 {
        a.send(&chat, &ann, &format!("while you were out {i}")).unwrap();
    }
    let mut b = here.sit(&bob);
    assert_eq!(unread(&mut b, &bob), [(ann.clone(), 3)]);
    assert_eq!(texts(shown(&mut b, &chat, &bob)).len(), 7);

    // A deleted account: its messages stay, nothing more can be sent to it, its name rests.
    b.delete_user(&bob).unwrap();
    let mut late = Client::connect(there.address, there.codec).unwrap();
    assert_eq!(refusal(late.login(&bob)), "Invalid username or password.");
    let text = refusal(a.send(&chat, &ann, "are you there?"));
    assert_eq!(text, format!("Cannot send message. User '{bob}' has deleted their account."));
    assert_eq!(texts(shown(&mut a, &chat, &ann)).len(), 7);
    assert!(a.search(&ann, &bob, 1, 10).unwrap().is_empty());
    assert_eq!(refusal(late.signup(&bob)), "Username already taken.");
}

#[test]
fn two_people_talk_on_any_two_nodes_in_any_two_codecs() {
    let cluster = Cluster::start(3);
    let leader = cluster.nodes[cluster.leader()].address();
    let follower = cluster.nodes[cluster.follower()].address();
    for (tag, here, there) in
        [("ll", leader, leader), ("lf", leader, follower), ("fl", follower, leader), ("ff", follower, follower)]
    {
        for (codecs, one, other) in [
            ("jj", Codec::Json, Codec::Json),
            ("js", Codec::Json, Codec::Samira1),
            ("sj", Codec::Samira1, Codec::Json),
            ("ss", Codec::Samira1, Codec::Samira1),
        ] {
            let here = Seat { address: here, codec: one };
            acquaintance(&format!("{tag}{codecs}"), here, Seat { address: there, codec: other });
        }
    }
    cluster.settle();
    cluster.stop();
}

#[test]
fn what_one_node_has_acknowledged_every_other_node_shows() {
    let cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address()).collect();
    let mut founder = Client::connect(addresses[0], Codec::Json).unwrap();
    founder.signup("writer").unwrap();
    founder.signup("reader").unwrap();
    let seats = |name| -> Vec<_> {
        let codecs = Codec::LEGACY.into_iter().cycle();
        addresses.iter().zip(codecs).map(|(&at, codec)| Client::logged_in(at, codec, name).unwrap()).collect()
    };
    let (mut writers, mut readers): (Vec<_>, Vec<_>) = (seats("writer"), seats("reader"));
    let chat = writers[0].start_chat("writer", "reader").unwrap();
    for i in 0..300 {
        let text = format!("message {i}");
        writers[i % 3].send(&chat, "writer", &text).unwrap();
        let reader = &mut readers[(i + 1 + i / 3 % 2) % 3];
        assert_eq!(reader.chats("reader").unwrap()[0].unread_count, 1, "after {text}");
        // A new page: one that is open is sent what is new bit by bit.
        reader.start_chat("reader", "writer").unwrap();
        let last = reader.messages(&chat, "reader").unwrap().pop().unwrap();
        assert_eq!((last.content, last.read), (text, 0));
    }
    cluster.stop();
}
