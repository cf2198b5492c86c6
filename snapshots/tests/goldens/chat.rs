//! Our own dialect: one golden of every request, reply and event in both codecs, and a few more of what is special.

use std::collections::BTreeSet;

use wire::chat::item::{Conversation, Deleted, Device, Mark, Member, Message, Node, Person, Token};
use wire::chat::request::{self, Nothing};
use wire::chat::{Code, Event, FromClient, FromNode, List, Reply, Request, event, reply};
use wire::codec::Codec;

/// Lowercase hexadecimal SHA-256 of `hunter2`.
const PASSWORD: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

/// Of `correct horse battery staple`.
const NEW_PASSWORD: &str = "c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a";

/// Milliseconds since 1970 of 2026-11-22 12:00:00 UTC.
const NOON_MS: u64 = 1_795_348_800_000;

const UNICODE: &str = "ü 日本 🔥 \"q\" \\ \n\u{7f}";

const TOKEN: Token = Token([
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x5e, 0xc2, 0x11, 0x9a, 0x7b, 0x40, 0xff, 0x80, 0x33, 0xd1, 0x6c,
    0x0e, 0xaa, 0x91, 0x28, 0xfe,
]);

const ALICE: Person<'_> = Person { user: 1, username: "alice", nickname: "Älice", gone: false };
const BOB: Person<'_> = Person { user: 2, username: "bob", nickname: "", gone: false };
const GONE: Person<'_> = Person { user: 77, username: "mallory", nickname: "", gone: true };

const HELLO: Message<'_> =
    Message { id: 4711, conversation: 3, number: 9, sender: 2, time_ms: NOON_MS, text: "Hello, Älice!", seq: 0 };

const MARK: Mark = Mark { conversation: 3, user: 2, delivered: 9, read: 8 };

const NODES: [Node<'_>; 3] = [
    Node { name: "node1", address: "192.0.2.1:5555", leader: true },
    Node { name: "node2", address: "192.0.2.2:5555", leader: false },
    Node { name: "node3", address: "[2001:db8::3]:5555", leader: false },
];

const ACCOUNT: reply::Account<'_> =
    reply::Account { user: 1, username: "alice", nickname: "Älice", view_limit: 6, stale: false };

fn list<T>(items: impl IntoIterator<Item = T>) -> List<T> {
    items.into_iter().collect()
}

fn direct() -> Conversation<'static> {
    Conversation {
        conversation: 3,
        members: list([Member { person: ALICE, delivered: 9, read: 9 }, Member { person: BOB, delivered: 9, read: 8 }]),
        last_number: 9,
        unread: 1,
        cleared: 4,
        behind: false,
        newest: Some(HELLO),
    }
}

fn behind() -> Conversation<'static> {
    Conversation {
        conversation: 70_000,
        members: list([
            Member { person: ALICE, delivered: 0, read: 0 },
            Member { person: GONE, delivered: 0, read: 0 },
        ]),
        last_number: 300,
        unread: 300,
        cleared: 0,
        behind: true,
        newest: None,
    }
}

/// Every request, in the order of their declaration.
fn requests() -> Vec<Request<'static>> {
    vec![
        Request::Hello(request::Hello { samira: 2, client: "chat 0.1.0" }),
        Request::Signup(request::Signup {
            username: "alice",
            nickname: "Älice",
            password: PASSWORD,
            device_name: "laptop",
        }),
        Request::Login(request::Login { username: "alice", password: PASSWORD, device: 12, device_name: "laptop" }),
        Request::Resume(request::Resume { device: 12, token: Some(TOKEN), ..Default::default() }),
        Request::Logout(Nothing {}),
        Request::Ping(Nothing {}),
        Request::Sync(request::Sync { cursor: 4711, limit: 500, behind: list([70_000]) }),
        Request::Conversations(request::Page { skip: 200, limit: 50 }),
        Request::Open(request::Open { username: "bob" }),
        Request::Next(request::Next { conversation: 3, after: 9 }),
        Request::History(request::History { conversation: 3, after: 1, before: 100, limit: 64 }),
        Request::Send(request::Send { conversation: 3, username: "bob", user: 0, text: "Hello, Bob!", seq: 70 }),
        Request::Delete(request::Delete { conversation: 3, numbers: list([7, 64, 5000]), seq: 71 }),
        Request::Clear(request::Clear { conversation: 3, upto: 9, seq: 72 }),
        Request::Mark(request::Marks {
            marks: list([
                Mark { conversation: 3, user: 0, delivered: 9, read: 8 },
                Mark { conversation: 70_000, user: 0, delivered: 300, read: 0 },
            ]),
        }),
        Request::Typing(request::Typing { conversation: 3, on: true }),
        Request::Watch(request::Watch { users: list([2, 77, 100_000]) }),
        Request::Users(request::Users { pattern: "al*", skip: 20, limit: 10 }),
        Request::Account(Nothing {}),
        Request::Nickname(request::Nickname { nickname: "Alice 🔥", seq: 73 }),
        Request::ViewLimit(request::ViewLimit { view_limit: 100, seq: 74 }),
        Request::Password(request::Password { password: PASSWORD, new_password: NEW_PASSWORD }),
        Request::Devices(Nothing {}),
        Request::Revoke(request::Revoke { device: 11 }),
        Request::DeleteAccount(request::DeleteAccount { password: PASSWORD, confirm: true }),
    ]
}

/// Every reply, in the order of their declaration.
fn replies() -> Vec<Reply<'static>> {
    vec![
        Reply::Error(reply::Error {
            code: Code::Busy,
            text: "The server is busy and has done nothing.",
            retry_ms: 250,
        }),
        Reply::Done(Nothing {}),
        Reply::Welcome(reply::Welcome {
            samira: 2,
            cluster: "3f7a9c",
            node: "node1",
            time_ms: NOON_MS,
            silence_ms: 120_000,
            text_max: 65_536,
            pipeline: 512,
            nodes: list(NODES),
        }),
        Reply::Session(reply::Session {
            user: 1,
            username: "alice",
            nickname: "Älice",
            view_limit: 6,
            device: 12,
            token: Some(TOKEN),
            last_seq: 69,
            stale: true,
        }),
        Reply::Changes(reply::Changes {
            conversations: list([direct()]),
            messages: list([HELLO, Message { id: 4712, number: 10, sender: 1, text: UNICODE, seq: 70, ..HELLO }]),
            deleted: list([Deleted { id: 4713, conversation: 3, number: 7 }]),
            marks: list([MARK]),
            people: list([BOB, GONE]),
            account: Some(ACCOUNT),
            cursor: 4713,
            more: true,
            resync: true,
            stale: true,
        }),
        Reply::Conversations(reply::Conversations {
            conversations: list([direct(), behind()]),
            more: true,
            stale: true,
        }),
        Reply::Opened(direct()),
        Reply::Messages(reply::Messages { messages: list([HELLO]), more: true, unread: 3, stale: true }),
        Reply::Sent(reply::Sent { conversation: 3, number: 9, id: 4711 }),
        Reply::Removed(reply::Count { count: 2 }),
        Reply::Users(reply::Users { people: list([ALICE, BOB, GONE]), total: 3, stale: true }),
        Reply::Profile(ACCOUNT),
        Reply::Devices(reply::Devices {
            devices: list([
                Device {
                    device: 11,
                    device_name: "phone",
                    created_ms: NOON_MS - 86_400_000,
                    seen_ms: NOON_MS - 60_000,
                    own: false,
                },
                Device { device: 12, device_name: "laptop", created_ms: NOON_MS, seen_ms: NOON_MS, own: true },
            ]),
            stale: false,
        }),
        Reply::Lost(reply::Count { count: 300 }),
    ]
}

/// Every event, in the order of their declaration.
fn events() -> Vec<Event<'static>> {
    vec![
        Event::Message(HELLO),
        Event::Deleted(Deleted { id: 4713, conversation: 3, number: 7 }),
        Event::Mark(event::Moved { id: 4714, mark: MARK }),
        Event::Update(reply::Changes {
            conversations: list([behind()]),
            people: list([GONE]),
            cursor: 4715,
            ..reply::Changes::default()
        }),
        Event::Typing(event::Typing { conversation: 3, user: 2, on: true }),
        Event::Presence(event::Presence { user: 2, online: true }),
        Event::Nodes(event::Nodes { nodes: list(NODES) }),
        Event::Bye(event::Bye { code: Code::Stopping, text: "The server is stopping." }),
    ]
}

fn request(name: &str, id: u64, request: Request<'_>) {
    golden!(Codec::CHAT, &format!("chat_request_{name}"), FromClient { id, request: Some(request) }, FromClient<'_>);
}

fn reply(name: &str, reply: Reply<'_>) {
    golden!(Codec::CHAT, &format!("chat_reply_{name}"), FromNode::Reply { re: 7, reply: Some(reply) }, FromNode<'_>);
}

fn event(name: &str, event: Event<'_>) {
    golden!(Codec::CHAT, &format!("chat_event_{name}"), FromNode::Event(Some(event)), FromNode<'_>);
}

#[test]
fn every_request() {
    assert_eq!(requests().iter().map(Request::name).collect::<Vec<_>>(), Request::NAMES);
    requests().into_iter().for_each(|body| request(body.name(), 7, body));
}

#[test]
fn every_reply() {
    assert_eq!(replies().iter().map(Reply::name).collect::<Vec<_>>(), Reply::NAMES);
    replies().into_iter().for_each(|body| reply(body.name(), body));
}

#[test]
fn every_event() {
    assert_eq!(events().iter().map(Event::name).collect::<Vec<_>>(), Event::NAMES);
    events().into_iter().for_each(|body| event(body.name(), body));
}

#[test]
fn what_is_special() {
    let send = request::Send { username: "bob", text: UNICODE, seq: 1, ..Default::default() };
    request("send_unicode", 0, Request::Send(send));
    let send = request::Send { user: 300, text: "for you alone", seq: 2, ..Default::default() };
    request("send_to_account", 0, Request::Send(send));
    let long = "The quick brown fox jumps over the lazy dog. ".repeat(4);
    let send = request::Send { conversation: 100_000, text: &long, seq: 300_000_000, ..Default::default() };
    request("send_long", 300_000_000, Request::Send(send));
    let refused = reply::Error { code: Code::NameTaken, text: "Somebody has that user name.", retry_ms: 0 };
    reply("error_final", Reply::Error(refused));
    let people: Vec<String> = (1..=16).map(|number| format!("user{number}")).collect();
    let people = people.iter().zip(1..).map(|(username, user)| Person { user, username, nickname: "", gone: false });
    reply("users_sixteen", Reply::Users(reply::Users { people: list(people), total: 16, stale: false }));
    golden!(Codec::CHAT, "chat_request_unknown", FromClient { id: 7, request: None }, FromClient<'_>);
}

/// Nothing of ours is written in full where one byte would do.
#[test]
fn every_key_has_an_index() {
    let mut kinds = BTreeSet::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/wire");
    for entry in std::fs::read_dir(folder).expect("the goldens") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let Some(kind) = name.strip_prefix("chat_").and_then(|name| name.strip_suffix("__samira2.snap")) else {
            continue;
        };
        let golden = std::fs::read_to_string(&path).expect("a golden");
        assert!(!golden.contains("  key in full"), "{name}");
        kinds.insert(kind.to_owned());
    }
    for (kind, names) in [("request", Request::NAMES), ("reply", Reply::NAMES), ("event", Event::NAMES)] {
        for name in names {
            assert!(kinds.contains(&format!("{kind}_{name}")), "no golden of {kind} {name}");
        }
    }
}
