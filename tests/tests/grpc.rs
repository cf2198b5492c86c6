//! Our own dialect over gRPC (`samira.v2`), by a client that was generated from the schemas: every call, the stream of
//! events beside what SAMIRA/2 pushes, and people who use all dialects.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use proto::chat::chat_service_client::ChatServiceClient;
use proto::chat::{GetChatsRequest, LoginRequest, SignupRequest};
use proto::v2 as pb;
use proto::v2::chat_client::ChatClient;
use proto::v2::event::Event as Told;
use sha2::{Digest, Sha256};
use tests::chat_client::Client;
use tests::cluster::Cluster;
use tests::device::{self, Device};
use tests::legacy_client::password;
use tests::{PATIENCE, wait_until};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use wire::chat::request::{Delete, Send, Sync};
use wire::chat::{Event, Reply};
use wire::codec::Codec;

/// Runs one test's calls to their end.
fn run<T>(calls: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(4 * PATIENCE, calls).await.unwrap() })
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Somebody, logged in.
struct Person {
    calls: ChatClient<Channel>,
    session: pb::Session,
    seq: u64,
}

impl Person {
    async fn sign_up(address: SocketAddr, name: &str) -> Person {
        let mut calls = ChatClient::new(channel(address).await);
        let request = pb::SignUpRequest { username: name.into(), password: password(name), ..Default::default() };
        let session = calls.sign_up(request).await.unwrap().into_inner();
        Person { calls, seq: session.last_seq, session }
    }

    async fn log_in(address: SocketAddr, name: &str) -> Person {
        Person::log_in_with(address, name, password(name)).await
    }

    async fn log_in_with(address: SocketAddr, name: &str, password: String) -> Person {
        let mut calls = ChatClient::new(channel(address).await);
        let request = pb::LogInRequest { username: name.into(), password, device: 0, device_name: "grpc".into() };
        let session = calls.log_in(request).await.unwrap().into_inner();
        Person { calls, seq: session.last_seq, session }
    }

    /// The same person and token on another node.
    async fn at(&self, address: SocketAddr) -> Person {
        Person { calls: ChatClient::new(channel(address).await), session: self.session.clone(), seq: self.seq }
    }

    /// A request with the token.
    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value: MetadataValue<_> = format!("Bearer {}", self.session.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }

    fn seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    async fn send_to(&mut self, username: &str, text: &str) -> pb::Sent {
        let seq = self.seq();
        let request = pb::SendRequest { username: username.into(), text: text.into(), seq, ..Default::default() };
        self.calls.send(self.with(request)).await.unwrap().into_inner()
    }

    async fn events(&mut self, cursor: u64) -> Streaming<pb::Event> {
        self.calls.events(self.with(pb::EventsRequest { cursor, ..Default::default() })).await.unwrap().into_inner()
    }
}

/// The next event.
async fn next(events: &mut Streaming<pb::Event>) -> Told {
    events.message().await.unwrap().unwrap().event.unwrap()
}

/// How a stream ends.
async fn end(events: &mut Streaming<pb::Event>) -> Status {
    loop {
        match events.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        }
    }
}

/// A password that somebody types, as every client sends it.
fn typed(password: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(password))
}

fn code<T>(answer: Result<tonic::Response<T>, Status>) -> Code {
    status(answer).code()
}

/// How a call has ended. What it was answered is not shown: messages have no debug form.
fn status<T>(answer: Result<tonic::Response<T>, Status>) -> Status {
    answer.map_or_else(|status| status, |_| Status::ok(""))
}

#[test]
fn every_call_on_one_node_and_its_effect_on_another() {
    let cluster = Cluster::start(3);
    let (leader, other) = (cluster.nodes[cluster.leader()].address(), cluster.nodes[cluster.follower()].address());
    run(async {
        let mut alice = Person::sign_up(leader, "alice").await;
        let mut bob = Person::sign_up(other, "bob").await;
        let account = alice.calls.get_account(alice.with(pb::GetAccountRequest {})).await.unwrap().into_inner();
        assert_eq!((account.username.as_str(), account.nickname.as_str(), account.view_limit), ("alice", "alice", 6));

        // Writes, and the same write again on another node.
        let sent = alice.send_to("bob", "one").await;
        assert_eq!(sent.number, 1);
        let mut elsewhere = alice.at(other).await;
        let again = pb::SendRequest { username: "bob".into(), text: "one".into(), seq: 1, ..Default::default() };
        assert!(elsewhere.calls.send(alice.with(again)).await.unwrap().into_inner() == sent);
        let gap = pb::SendRequest { username: "bob".into(), text: "x".into(), seq: 9, ..Default::default() };
        let refused = status(alice.calls.send(alice.with(gap)).await);
        assert_eq!(refused.code(), Code::Aborted);
        assert_eq!(refused.metadata().get("samira-code").unwrap(), "5");
        for text in ["two", "three"] {
            alice.send_to("bob", text).await;
        }

        // The other one finds the conversation, reads, marks.
        let conversation = sent.conversation;
        let list = pb::ListConversationsRequest::default();
        let listed = bob.calls.list_conversations(bob.with(list)).await.unwrap().into_inner();
        let summary = &listed.conversations[0];
        assert_eq!((summary.conversation, summary.unread, summary.last_number), (conversation, 3, 3));
        let unread = pb::NextUnreadRequest { conversation, after: 0 };
        let unread = bob.calls.next_unread(bob.with(unread)).await.unwrap().into_inner();
        let texts: Vec<_> = unread.messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!((texts, unread.more, unread.unread), (vec!["one", "two", "three"], false, 0));
        let mark = pb::Mark { conversation, delivered: 3, read: 2, ..Default::default() };
        bob.calls.set_marks(bob.with(pb::SetMarksRequest { marks: vec![mark] })).await.unwrap();
        let opened = pb::OpenConversationRequest { username: "bob".into() };
        let opened = alice.calls.open_conversation(alice.with(opened)).await.unwrap().into_inner();
        let marks = opened.members.iter().find(|member| member.person.as_ref().unwrap().username == "bob").unwrap();
        assert_eq!((opened.conversation, marks.delivered, marks.read), (conversation, 3, 2));

        // History, deletion, one's own view.
        let history = pb::GetHistoryRequest { conversation, before: 3, limit: 1, ..Default::default() };
        let history = alice.calls.get_history(alice.with(history)).await.unwrap().into_inner();
        assert_eq!((history.messages[0].text.as_str(), history.more), ("two", true));
        let seq = alice.seq();
        let delete = pb::DeleteMessagesRequest { conversation, numbers: vec![2], seq };
        let deleted = alice.calls.delete_messages(alice.with(delete)).await.unwrap().into_inner();
        assert_eq!(deleted.count, 1);
        let seq = bob.seq();
        let theirs = pb::DeleteMessagesRequest { conversation, numbers: vec![1], seq };
        assert_eq!(code(bob.calls.delete_messages(bob.with(theirs)).await), Code::PermissionDenied);
        let seq = bob.seq();
        bob.calls.clear_view(bob.with(pb::ClearViewRequest { conversation, upto: 3, seq })).await.unwrap();
        let history = pb::GetHistoryRequest { conversation, ..Default::default() };
        let history = bob.calls.get_history(bob.with(history)).await.unwrap().into_inner();
        assert!(history.messages.is_empty());

        // People and accounts.
        let find = pb::FindPeopleRequest { pattern: "*li*".into(), ..Default::default() };
        let found = bob.calls.find_people(bob.with(find)).await.unwrap().into_inner();
        assert_eq!((found.people[0].username.as_str(), found.total), ("alice", 1));
        let seq = alice.seq();
        alice.calls.set_nickname(alice.with(pb::SetNicknameRequest { nickname: "Älice".into(), seq })).await.unwrap();
        let seq = alice.seq();
        alice.calls.set_view_limit(alice.with(pb::SetViewLimitRequest { view_limit: 9, seq })).await.unwrap();
        let account = alice.calls.get_account(alice.with(pb::GetAccountRequest {})).await.unwrap().into_inner();
        assert_eq!((account.nickname.as_str(), account.view_limit), ("Älice", 9));
        alice.calls.set_typing(alice.with(pb::SetTypingRequest { conversation, on: true })).await.unwrap();
        let changes = pb::SyncRequest::default();
        let changes = bob.calls.sync(bob.with(changes)).await.unwrap().into_inner();
        assert!(changes.cursor > 0 && !changes.more && !changes.stale);

        // Devices and passwords.
        let phone = Person::log_in(other, "alice").await;
        let devices = alice.calls.list_devices(alice.with(pb::ListDevicesRequest {})).await.unwrap().into_inner();
        assert_eq!(devices.devices.iter().map(|device| device.own).collect::<Vec<_>>(), [true, false]);
        alice.calls.revoke_device(alice.with(pb::RevokeDeviceRequest { device: phone.session.device })).await.unwrap();
        let mut phone = phone.at(leader).await;
        let asked = phone.calls.get_account(phone.with(pb::GetAccountRequest {})).await;
        assert_eq!(code(asked), Code::Unauthenticated);
        let wrong = pb::ChangePasswordRequest { password: password("x"), new_password: password("y") };
        assert_eq!(code(alice.calls.change_password(alice.with(wrong)).await), Code::PermissionDenied);
        let right = pb::ChangePasswordRequest { password: password("alice"), new_password: password("new") };
        alice.calls.change_password(alice.with(right)).await.unwrap();
        let log_in = pb::LogInRequest { username: "alice".into(), password: password("alice"), ..Default::default() };
        assert_eq!(code(alice.calls.log_in(log_in).await), Code::Unauthenticated);

        // The end of both.
        let ask = pb::DeleteAccountRequest { password: password("bob"), confirm: false };
        assert_eq!(bob.calls.delete_account(bob.with(ask)).await.unwrap().into_inner().count, 0);
        let delete = pb::DeleteAccountRequest { password: password("bob"), confirm: true };
        bob.calls.delete_account(bob.with(delete)).await.unwrap();
        let seq = alice.seq();
        let gone = pb::SendRequest { conversation, text: "still there?".into(), seq, ..Default::default() };
        let gone = status(alice.calls.send(alice.with(gone)).await);
        assert_eq!(gone.code(), Code::FailedPrecondition, "{gone}");
        alice.calls.log_out(alice.with(pb::LogOutRequest {})).await.unwrap();
        assert_eq!(code(alice.calls.get_account(alice.with(pb::GetAccountRequest {})).await), Code::Unauthenticated);
    });
    cluster.settle();
    cluster.stop();
}

#[test]
fn what_cannot_be_done_ends_with_a_status_that_says_what_to_do() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    run(async {
        let mut alice = Person::sign_up(address, "alice").await;
        let mut nobody = ChatClient::new(channel(address).await);
        assert_eq!(code(nobody.get_account(pb::GetAccountRequest {}).await), Code::Unauthenticated);
        for wrong in ["Bearer", "Bearer x", "Basic YTpi", &format!("Bearer {}x", alice.session.token)] {
            let mut request = Request::new(pb::GetAccountRequest {});
            request.metadata_mut().insert("authorization", wrong.parse().unwrap());
            assert_eq!(code(nobody.get_account(request).await), Code::Unauthenticated, "{wrong}");
        }
        let taken = pb::SignUpRequest { username: "alice".into(), password: password("x"), ..Default::default() };
        assert_eq!(code(nobody.sign_up(taken).await), Code::AlreadyExists);
        let empty = pb::SignUpRequest { password: password("x"), ..Default::default() };
        assert_eq!(code(nobody.sign_up(empty).await), Code::InvalidArgument);
        let open = pb::OpenConversationRequest { username: "nobody".into() };
        assert_eq!(code(alice.calls.open_conversation(alice.with(open)).await), Code::NotFound);
        let elsewhere = pb::GetHistoryRequest { conversation: 77, ..Default::default() };
        assert_eq!(code(alice.calls.get_history(alice.with(elsewhere)).await), Code::NotFound);
        let unnumbered = pb::SendRequest { username: "alice".into(), text: "x".into(), ..Default::default() };
        assert_eq!(code(alice.calls.send(alice.with(unnumbered)).await), Code::InvalidArgument);
        // A number that was given to something too long is used up.
        let seq = alice.seq();
        let long = pb::SendRequest { username: "alice".into(), text: "x".repeat(65_537), seq, ..Default::default() };
        assert_eq!(code(alice.calls.send(alice.with(long)).await), Code::InvalidArgument);
        let huge = pb::SendRequest { username: "alice".into(), text: "x".repeat(1 << 20), seq, ..Default::default() };
        assert_eq!(code(alice.calls.send(alice.with(huge)).await), Code::OutOfRange);
        assert_eq!(alice.send_to("alice", "a note").await.number, 1);
    });
    cluster.stop();
}

/// What is stored, as both streams tell it.
#[derive(Debug, PartialEq, Eq)]
enum Stored {
    Message(u64, u64, String),
    Deleted(u64, u64),
    Mark(u64, u64, u64, u64),
}

/// Takes events in until message `number` is among them.
async fn hear(events: &mut Streaming<pb::Event>, number: u64, heard: &mut Vec<Stored>) {
    loop {
        heard.push(match next(events).await {
            Told::Message(message) => Stored::Message(message.id, message.number, message.text),
            Told::Deleted(deleted) => Stored::Deleted(deleted.id, deleted.number),
            Told::Mark(moved) => {
                let mark = moved.mark.unwrap();
                Stored::Mark(moved.id, mark.user, mark.delivered, mark.read)
            }
            _ => continue,
        });
        if matches!(heard.last(), Some(Stored::Message(_, found, _)) if *found == number) {
            return;
        }
    }
}

#[test]
fn the_stream_is_what_samira_2_pushes_in_the_same_order() {
    const ROUNDS: u64 = 40;
    let cluster = Cluster::start(3);
    let (leader, other) = (cluster.nodes[cluster.leader()].address(), cluster.nodes[cluster.follower()].address());
    let mut alice = Client::logged_in(leader, Codec::Samira2, "alice").unwrap();
    let mut bob = Client::logged_in(other, Codec::Samira2, "bob").unwrap();
    let conversation = alice.open("bob").unwrap();
    // Both of bob's have heard everything so far.
    let cursor = bob.ask(wire::chat::Request::Sync(Sync::default()), |reply| match reply {
        Reply::Changes(changes) => Ok(changes.cursor),
        other => anyhow::bail!("{}", other.name()),
    });
    let cursor = cursor.unwrap();

    let mut by_grpc = Vec::new();
    run(async {
        let mut bob = Person::log_in(other, "bob").await;
        let mut events = bob.events(cursor).await;
        assert!(matches!(next(&mut events).await, Told::Nodes(nodes) if nodes.nodes.len() == 3));
        assert!(matches!(next(&mut events).await, Told::Update(update) if !update.more));
        for number in 1..=ROUNDS {
            let (seq, text) = (alice.take_seq(), format!("message {number}"));
            let send = Send { conversation, text: &text, seq, ..Send::default() };
            alice.send(wire::chat::Request::Send(send)).unwrap();
            if number % 10 == 0 {
                let (seq, numbers) = (alice.take_seq(), std::iter::once(number - 1).collect());
                alice.send(wire::chat::Request::Delete(Delete { conversation, numbers, seq })).unwrap();
            }
            // More unread ones than the view limit would be counted and not told.
            if number % 5 == 0 {
                hear(&mut events, number, &mut by_grpc).await;
                let mark = pb::Mark { conversation, read: number, ..Default::default() };
                bob.calls.set_marks(bob.with(pb::SetMarksRequest { marks: vec![mark] })).await.unwrap();
            }
        }
    });
    let mut by_samira = Vec::new();
    while by_samira.len() < by_grpc.len() {
        let stored = bob.event(|event| {
            Ok(match event {
                Event::Message(message) => Some(Stored::Message(message.id, message.number, message.text.to_owned())),
                Event::Deleted(deleted) => Some(Stored::Deleted(deleted.id, deleted.number)),
                Event::Mark(moved) => {
                    Some(Stored::Mark(moved.id, moved.mark.user, moved.mark.delivered, moved.mark.read))
                }
                _ => None,
            })
        });
        by_samira.extend(stored.unwrap());
    }
    assert!(by_grpc.len() as u64 > ROUNDS, "messages, deletions and marks, but {}", by_grpc.len());
    assert_eq!(by_grpc, by_samira);
    cluster.stop();
}

#[test]
fn a_stream_goes_on_from_its_cursor_where_another_ended() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let (first, second) = (cluster.nodes[leader].address(), cluster.nodes[(leader + 1) % 3].address());
    run(async {
        let mut alice = Person::sign_up(second, "alice").await;
        let mut bob = Person::sign_up(first, "bob").await;
        let (mut texts, mut cursor) = (Vec::new(), 0);
        let mut events = bob.events(cursor).await;
        alice.send_to("bob", "before").await;
        // Its first message, and with it the conversation.
        while texts.is_empty() {
            match next(&mut events).await {
                Told::Update(update) => {
                    cursor = update.cursor;
                    texts.extend(update.messages.into_iter().map(|message| message.text));
                }
                Told::Message(message) => {
                    cursor = message.id;
                    texts.push(message.text);
                }
                _ => {}
            }
        }
        cluster.nodes[leader].kill();
        assert_ne!(end(&mut events).await.code(), Code::Ok, "the end of a connection is no end of a stream");
        alice.send_to("bob", "meanwhile").await;

        let mut bob = bob.at(second).await;
        let mut events = bob.events(cursor).await;
        while texts.len() < 2 {
            match next(&mut events).await {
                Told::Update(update) => texts.extend(update.messages.into_iter().map(|message| message.text)),
                Told::Message(message) => texts.push(message.text),
                _ => {}
            }
        }
        assert_eq!(texts, ["before", "meanwhile"]);
    });
    cluster.stop();
}

/// What happened before the stream comes in pieces; a conversation that one of them keeps back is kept back after all.
#[test]
fn what_is_behind_stays_behind_over_several_updates() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    run(async {
        let mut alice = Person::sign_up(address, "alice").await;
        let mut bob = Person::sign_up(address, "bob").await;
        // Who knows nothing is not told the whole past; so bob knows a little.
        bob.send_to("bob", "a note").await;
        let cursor = bob.calls.sync(bob.with(pb::SyncRequest::default())).await.unwrap().into_inner().cursor;
        // More than the view limit, and then more changes than one piece holds.
        for number in 0..8 {
            alice.send_to("bob", &format!("unread {number}")).await;
        }
        for number in 0..wire::limits::MESSAGES_PER_REPLY_MAX + 10 {
            bob.send_to("bob", &format!("note {number}")).await;
        }
        let mut events = bob.events(cursor).await;
        let mut pieces = 0;
        loop {
            if let Told::Update(update) = next(&mut events).await {
                pieces += 1;
                if !update.more {
                    break;
                }
            }
        }
        assert!(pieces > 1);
        alice.send_to("bob", "one more").await;
        let told = next(&mut events).await;
        let Told::Update(update) = told else { panic!("a message that is kept back was told by itself") };
        assert!(update.messages.is_empty() && update.conversations[0].behind);
        assert_eq!(update.conversations[0].unread, 9);
    });
    cluster.stop();
}

#[test]
fn presence_is_told_and_a_device_that_is_logged_out_hears_nothing_more() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    run(async {
        let mut alice = Person::sign_up(address, "alice").await;
        let mut bob = Person::sign_up(address, "bob").await;
        let request = pb::EventsRequest { watch: vec![bob.session.user], ..Default::default() };
        let mut alices = alice.calls.events(alice.with(request)).await.unwrap().into_inner();
        let mut bobs = bob.events(0).await;
        while !matches!(next(&mut alices).await, Told::Presence(told) if told.user == bob.session.user && told.online) {
        }

        let conversation = alice.send_to("bob", "x").await.conversation;
        bob.calls.set_typing(bob.with(pb::SetTypingRequest { conversation, on: true })).await.unwrap();
        while !matches!(next(&mut alices).await, Told::Typing(told) if told.on && told.user == bob.session.user) {}

        let mut laptop = Person::log_in(address, "bob").await;
        let revoke = pb::RevokeDeviceRequest { device: bob.session.device };
        laptop.calls.revoke_device(laptop.with(revoke)).await.unwrap();
        assert_eq!(end(&mut bobs).await.code(), Code::Unauthenticated);

        // A server that stops does not wait for those who listen.
        cluster.nodes[0].stop();
        assert_eq!(end(&mut alices).await.code(), Code::Unavailable);
    });
}

#[test]
fn an_account_made_over_grpc_is_one_in_every_dialect() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let address = node.address();
    run(async {
        let mut original = ChatServiceClient::new(channel(address).await);
        for (name, password) in [("alice", password("alice")), ("bob", typed("bob"))] {
            let request = SignupRequest { username: name.into(), nickname: name.into(), password };
            assert!(original.signup(request).await.unwrap().into_inner().success);
        }
    });
    // SAMIRA/2, and the library that the desktop client is made of.
    let mut alice = Client::logged_in(address, Codec::Samira2, "alice").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut bob = Device::start(directory.path(), device::link(node));
    bob.log_in("bob");
    bob.wait_synced();
    let conversation = alice.open("bob").unwrap();
    let send = Send { conversation, text: "over samira", seq: alice.take_seq(), ..Send::default() };
    alice.ask(wire::chat::Request::Send(send), |_| Ok(())).unwrap();
    run(async {
        let mut bob = Person::log_in_with(address, "bob", typed("bob")).await;
        let unread = pb::NextUnreadRequest { conversation, after: 0 };
        let unread = bob.calls.next_unread(bob.with(unread)).await.unwrap().into_inner();
        assert_eq!(unread.messages[0].text, "over samira");
        bob.send_to("alice", "over grpc").await;
        // A token of the new package is good in the old one.
        let mut original = ChatServiceClient::new(channel(address).await);
        let request = bob.with(GetChatsRequest { user_id: "bob".into() });
        assert_eq!(original.get_chats(request).await.unwrap().into_inner().chats[0].other_user, "alice");
        let other = bob.with(GetChatsRequest { user_id: "alice".into() });
        assert_eq!(code(original.get_chats(other).await), Code::PermissionDenied);
    });
    bob.wait("the message that was sent over gRPC", |model| {
        model.conversations.values().any(|known| known.newest().is_some_and(|newest| &*newest.text == "over grpc"))
    });
    cluster.stop();
}

#[test]
fn how_callers_without_a_token_are_known_is_the_operators_choice() {
    for (mode, same, other) in [
        ("address", Code::Ok, Code::Ok),
        ("connection", Code::Ok, Code::Unauthenticated),
        ("off", Code::Unauthenticated, Code::Unauthenticated),
    ] {
        let cluster = Cluster::start_prepared(1, |node| node.args = vec!["--legacy-grpc".into(), mode.into()]);
        let address = cluster.nodes[0].address();
        run(async {
            let mut here = ChatServiceClient::new(channel(address).await);
            let signup = SignupRequest { username: "alice".into(), nickname: "A".into(), password: password("alice") };
            assert!(here.signup(signup).await.unwrap().into_inner().success);
            let login = LoginRequest { username: "alice".into(), password: password("alice") };
            assert!(here.login(login).await.unwrap().into_inner().success);
            let mut there = ChatServiceClient::new(channel(address).await);
            let ask = GetChatsRequest { user_id: "alice".into() };
            assert_eq!(code(here.get_chats(ask.clone()).await), same, "{mode}");
            assert_eq!(code(there.get_chats(ask.clone()).await), other, "{mode}");
            let token = Person::log_in(address, "alice").await;
            assert_eq!(code(there.get_chats(token.with(ask)).await), Code::Ok, "{mode}");
        });
        cluster.stop();
    }
}

#[test]
fn who_may_not_speak_in_the_clear_is_told_so() {
    let cluster = Cluster::start_prepared(1, |node| node.args = vec!["--plaintext".into(), "off".into()]);
    let address = cluster.nodes[0].address();
    run(async {
        let mut original = ChatServiceClient::new(channel(address).await);
        let login = LoginRequest { username: "alice".into(), password: password("alice") };
        let refused = status(original.login(login).await);
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("--plaintext any"), "{refused}");
    });
    cluster.stop();
}

#[test]
fn bytes_that_are_no_http_2_disturb_nobody() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let address = node.address();
    run(async {
        let mut alice = Person::sign_up(address, "alice").await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        // A frame that is too long, one of a type that may not come first, nothing more, and another method.
        let beginnings: [&[u8]; 5] = [
            &[preface.as_slice(), &[0xff; 64]].concat(),
            &[preface.as_slice(), &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
            preface,
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            b"PRINT / HTTP/1.1\r\n\r\n",
        ];
        for bytes in beginnings {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Whatever is said, the connection ends.
            let _ = stream.read_to_end(&mut Vec::new());
            assert!(alice.send_to("alice", "still here").await.number > 0);
        }
    });
    wait_until("all connections are given up", || node.status().is_some_and(|status| status.clients == 0));
    cluster.stop();
}
