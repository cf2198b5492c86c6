//! `samira.v2` as its clients depend on it: streams of numbered writes, refusals that say which they are, and bounds.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;

use proto::v2 as pb;
use proto::v2::chat_client::ChatClient;
use proto::v2::event::Event;
use proto::v2::write_reply::Outcome;
use proto::v2::write_request::Write;
use tests::PATIENCE;
use tests::chat_client::Client;
use tests::cluster::Cluster;
use tests::legacy_client::password;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use wire::chat::request::{DeleteAccount, History, Nothing};
use wire::chat::{Reply, Request as Asked};
use wire::codec::Codec;

fn run<T>(calls: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(4 * PATIENCE, calls).await.unwrap() })
}

async fn calls(address: SocketAddr) -> ChatClient<Channel> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    ChatClient::new(channel)
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn sign_up(calls: &mut ChatClient<Channel>, name: &str) -> String {
    let request = pb::SignUpRequest { username: name.into(), password: password(name), ..Default::default() };
    calls.sign_up(request).await.unwrap().into_inner().token
}

fn send(to: &str, seq: u64) -> pb::WriteRequest {
    let send = pb::SendRequest { username: to.into(), text: format!("message {seq}"), seq, ..Default::default() };
    pb::WriteRequest { write: Some(Write::Send(send)) }
}

/// A stream of writes: where they go in, and what comes out.
async fn writes(
    calls: &mut ChatClient<Channel>,
    token: &str,
) -> (mpsc::Sender<pb::WriteRequest>, Streaming<pb::WriteReply>) {
    let (to, requests) = mpsc::channel(64);
    let replies = calls.write(with(token, ReceiverStream::new(requests))).await.unwrap().into_inner();
    (to, replies)
}

/// The status and number of a refusal.
fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.map_or_else(|status| status, |_| Status::ok(""));
    let number = status.metadata().get("samira-code").map_or("none", |number| number.to_str().unwrap());
    (status.code(), number.to_owned())
}

#[test]
fn two_thousand_writes_64_at_once_keep_their_order() {
    const WRITES: u64 = 2000;
    let cluster = Cluster::start(3);
    let (leader, other) = (cluster.nodes[cluster.leader()].address(), cluster.nodes[cluster.follower()].address());
    run(async {
        let mut alice = calls(other).await;
        let token = sign_up(&mut alice, "alice").await;
        sign_up(&mut calls(leader).await, "bob").await;
        let (to, mut replies) = writes(&mut alice, &token).await;
        let (mut next, mut numbers) = (1, BTreeMap::new());
        while (numbers.len() as u64) < WRITES {
            while next <= WRITES && next - (numbers.len() as u64) <= 64 {
                to.send(send("bob", next)).await.unwrap();
                next += 1;
            }
            let reply = replies.message().await.unwrap().unwrap();
            let Some(Outcome::Sent(sent)) = reply.outcome else { panic!("write {} was not taken", reply.seq) };
            numbers.insert(reply.seq, sent.number);
        }
        assert!(numbers.iter().all(|(seq, number)| seq == number), "{numbers:?}");

        // A gap refuses what is behind it, under its number, and the stream goes on.
        to.send(send("bob", WRITES + 2)).await.unwrap();
        let reply = replies.message().await.unwrap().unwrap();
        let Some(Outcome::Refused(refused)) = reply.outcome else { panic!("a gap was filled") };
        assert_eq!((reply.seq, refused.code), (WRITES + 2, 5));
        let delete = pb::DeleteMessagesRequest { conversation: 1, numbers: vec![1, 2, 3], seq: WRITES + 1 };
        to.send(pb::WriteRequest { write: Some(Write::DeleteMessages(delete)) }).await.unwrap();
        let nickname = pb::SetNicknameRequest { nickname: "Al".into(), seq: WRITES + 2 };
        to.send(pb::WriteRequest { write: Some(Write::SetNickname(nickname)) }).await.unwrap();
        drop(to);
        let mut outcomes = BTreeMap::new();
        while let Some(reply) = replies.message().await.unwrap() {
            outcomes.insert(reply.seq, reply.outcome.unwrap());
        }
        assert!(matches!(outcomes[&(WRITES + 1)], Outcome::Removed(pb::Count { count: 3 })));
        assert!(matches!(outcomes[&(WRITES + 2)], Outcome::Done(_)));
    });
    let mut bob = Client::logged_in(leader, Codec::Samira2, "bob").unwrap();
    let last =
        bob.ask(Asked::History(History { conversation: 1, limit: 1, ..Default::default() }), |reply| match reply {
            Reply::Messages(found) => {
                Ok(found.messages.iter().map(|message| message.text.to_owned()).collect::<Vec<_>>())
            }
            other => anyhow::bail!("unexpected: {other:?}"),
        });
    assert_eq!(last.unwrap(), ["message 2000"]);
}

#[test]
fn a_long_stream_of_writes_does_not_use_up_the_room_for_requests() {
    // More bytes than all requests together may have under way.
    const WRITES: u64 = 1100;
    let cluster = Cluster::start(1);
    run(async {
        let mut alice = calls(cluster.nodes[0].address()).await;
        let token = sign_up(&mut alice, "alice").await;
        let (to, mut replies) = writes(&mut alice, &token).await;
        let sender = tokio::spawn(async move {
            for seq in 1..=WRITES {
                let text = "x".repeat(wire::limits::MESSAGE_TEXT_BYTES_MAX);
                let send = pb::SendRequest { username: "alice".into(), text, seq, ..Default::default() };
                to.send(pb::WriteRequest { write: Some(Write::Send(send)) }).await.unwrap();
            }
        });
        let mut taken = 0;
        while let Some(reply) = replies.message().await.unwrap() {
            assert!(matches!(reply.outcome, Some(Outcome::Sent(_))), "write {}", reply.seq);
            taken += 1;
        }
        sender.await.unwrap();
        assert_eq!(taken, WRITES);
    });
}

#[test]
fn every_refusal_has_its_number() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    run(async {
        let mut alice = calls(address).await;
        let token = sign_up(&mut alice, "alice").await;
        let account = pb::GetAccountRequest {};
        let expect = |code, number: &str| (code, number.to_owned());
        assert_eq!(refusal(alice.get_account(account).await), expect(Code::Unauthenticated, "100"));
        for wrong in ["", "nonsense", &token[..token.len() - 2]] {
            let refused = refusal(alice.get_account(with(wrong, account)).await);
            assert_eq!(refused, expect(Code::Unauthenticated, "102"), "{wrong}");
        }
        let unknown = format!("{}{}", &token[..token.len() - 2], if token.ends_with("00") { "11" } else { "00" });
        assert_eq!(refusal(alice.get_account(with(&unknown, account)).await), expect(Code::Unauthenticated, "102"));
        let long = pb::SendRequest { text: "x".repeat(300 << 10), seq: 1, ..Default::default() };
        assert_eq!(refusal(alice.send(with(&token, long)).await), expect(Code::OutOfRange, "200"));
        let (to, mut replies) = writes(&mut alice, &token).await;
        let send = pb::SendRequest { text: "x".repeat(300 << 10), seq: 1, ..Default::default() };
        to.send(pb::WriteRequest { write: Some(Write::Send(send)) }).await.unwrap();
        assert_eq!(refusal(replies.message().await), expect(Code::OutOfRange, "200"));
        let (to, mut replies) = writes(&mut alice, &token).await;
        to.send(pb::WriteRequest { write: None }).await.unwrap();
        assert_eq!(refusal(replies.message().await), expect(Code::Unimplemented, "201"));
        let send = |text: &str, seq| pb::SendRequest {
            username: "nobody".into(),
            text: text.into(),
            seq,
            ..Default::default()
        };
        assert_eq!(refusal(alice.send(with(&token, send("a\u{9b}", 1))).await), expect(Code::InvalidArgument, "200"));
        assert_eq!(refusal(alice.send(with(&token, send(" \n", 2))).await), expect(Code::InvalidArgument, "200"));
        assert_eq!(refusal(alice.send(with(&token, send("hello", 3))).await), expect(Code::NotFound, "207"));
    });
}

#[test]
fn events_begin_with_nodes_and_the_past_and_end_with_the_account() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    let mut bob = Client::logged_in(address, Codec::Json2, "bob").unwrap();
    let user = bob.ask(Asked::Account(Nothing {}), |reply| match reply {
        Reply::Profile(account) => Ok(account.user),
        other => anyhow::bail!("unexpected: {other:?}"),
    });
    let watch = vec![user.unwrap()];
    run(async {
        let mut alice = calls(address).await;
        let token = sign_up(&mut alice, "alice").await;
        let request = pb::EventsRequest { watch, ..Default::default() };
        let mut events = alice.events(with(&token, request)).await.unwrap().into_inner();
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(match events.message().await.unwrap().unwrap().event.unwrap() {
                Event::Nodes(_) => "nodes",
                Event::Update(_) => "update",
                Event::Presence(_) => "presence",
                _ => "another",
            });
        }
        assert_eq!(kinds, ["nodes", "update", "presence"]);
        let gone = pb::DeleteAccountRequest { password: password("alice"), confirm: true };
        alice.delete_account(with(&token, gone)).await.unwrap();
        let ended = loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an end without a reason"),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.message(), "this account was deleted");
        assert_eq!(refusal::<()>(Err(ended)), (Code::Unauthenticated, "104".to_owned()));
    });
    let password = password("bob");
    let gone = DeleteAccount { password: &password, confirm: true };
    bob.ask(Asked::DeleteAccount(gone), |reply| match reply {
        Reply::Lost(_) => Ok(()),
        other => anyhow::bail!("unexpected: {other:?}"),
    })
    .unwrap();
    let bye = bob.event(|event| match event {
        wire::chat::Event::Bye(bye) => Ok((bye.code, bye.text.to_owned())),
        other => anyhow::bail!("unexpected: {other:?}"),
    });
    assert_eq!(bye.unwrap(), (wire::chat::Code::Revoked, "this account was deleted".to_owned()));
}
