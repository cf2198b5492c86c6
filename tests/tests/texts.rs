//! What people paste, through the clients they use: line ends of every kind are stored as they were sent.

use client_fltk::command::{Answer, Command, Failure};
use client_fltk::model::Target;
use proto::chat::chat_service_client::ChatServiceClient;
use proto::chat::{SendMessageRequest, SignupRequest};
use tests::cluster::Cluster;
use tests::device::{self, Device};
use tests::legacy_client::password;
use tonic::transport::Endpoint;

#[test]
fn a_pasted_line_end_is_sent_as_it_is_stored_and_a_control_is_not_sent() {
    let cluster = Cluster::start(1);
    let directory = tempfile::tempdir().unwrap();
    let mut alice = Device::start(directory.path(), device::link(&cluster.nodes[0]));
    alice.sign_up("alice");
    let to = || Target::Username("alice".into());
    let sent = alice.ask(Command::Send { to: to(), text: "one\r\n\ttwo\nthree".into() });
    assert!(matches!(sent, Ok(Answer::Stored { .. })), "{sent:?}");
    alice.wait_seen_through();
    assert_eq!(alice.told.last().unwrap().2, "one\n\ttwo\nthree");
    for (wrong, why) in [(" \r\n\t", "nothing in the message"), ("a\0b", "control"), ("\u{9b}2J", "control")] {
        match alice.ask(Command::Send { to: to(), text: wrong.into() }) {
            Err(Failure::NotNow(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(alice.model.outbox.is_empty(), "nothing waits that the server would refuse");
}

#[test]
fn the_calls_of_the_original_keep_the_rule_too() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut calls = ChatServiceClient::new(channel);
        for name in ["bob", "alice"] {
            let signup = SignupRequest { username: name.into(), nickname: name.into(), password: password(name) };
            assert!(calls.signup(signup).await.unwrap().into_inner().success);
        }
        let control = "The message contains a control character; only line breaks and tabs are allowed.";
        let table = [("a\r\nb", ""), ("a\rb", control), ("a\0", control), (" \n", "Missing required fields.")];
        for (content, expected) in table {
            let (chat_id, sender) = ("alice_bob".into(), "alice".into());
            let send = SendMessageRequest { chat_id, sender, content: content.into() };
            let reply = calls.send_chat_message(send).await.unwrap().into_inner();
            assert_eq!((reply.success, reply.error_message.as_str()), (expected.is_empty(), expected), "{content:?}");
        }
    });
}
