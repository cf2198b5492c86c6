//! What the server answers: one reply per action, the additions for reads without a quorum, and every refusal.

use wire::legacy::reply::{
    Chat, ChatsReply, HelloReply, Items, LimitReply, LoginReply, Message, MessagesReply, Outcome, Placeholder, Shown,
    StartChatReply, Status, UsersReply,
};
use wire::legacy::text::{
    self, Malformed, NameRefused, NotStored, NotYou, OutcomeUnknown, PeerGone, Welcome, WrongKey,
};
use wire::{DecodeError, DecodeErrorKind};

const CHATS: [Chat<&str>; 2] = [
    Chat { chat_id: "bob_carol", other_user: "carol", unread_count: 2 },
    Chat { chat_id: "alice_bob", other_user: "alice", unread_count: 0 },
];

const MESSAGES: [Message<&str>; 2] = [
    Message {
        id: 1,
        sender: "alice",
        receiver: "bob",
        content: "hello bob",
        timestamp: "2026-11-22T12:07:55.726108",
        read: 1,
    },
    Message {
        id: 2,
        sender: "bob",
        receiver: "alice",
        content: "ü 日本 🔥 \"q\" \\ \n",
        timestamp: "2026-11-22T12:07:55.893000",
        read: 0,
    },
];

#[test]
fn handshake() {
    let reply = HelloReply { status: Status::Connected, message: Shown(Welcome("client-1")) };
    golden!("reply_hello", reply, HelloReply<&str>);
}

#[test]
fn actions_without_data() {
    for name in [
        "reply_signup",
        "reply_delete_user",
        "reply_update_view_limit",
        "reply_save_settings",
        "reply_send_chat_message",
        "reply_delete_messages",
    ] {
        golden!(name, Outcome::done(), Outcome<&str>);
    }
    golden!("reply_delete_chats", Outcome::refused(text::DELETE_CHATS), Outcome<&str>);
}

#[test]
fn login() {
    let reply =
        LoginReply { success: true, error_message: "", user_id: 1, nickname: "Älice", view_limit: 6, stale: false };
    golden!("reply_login", reply, LoginReply<&str>);
    golden!("reply_login_stale", LoginReply { stale: true, ..reply }, LoginReply<&str>);
}

#[test]
fn get_chats() {
    let reply = ChatsReply { success: true, chats: Items(CHATS.iter()), error_message: "", stale: false };
    golden!("reply_get_chats", reply, ChatsReply<Vec<Chat<&str>>, &str>);
    let reply = ChatsReply { stale: true, ..reply };
    golden!("reply_get_chats_stale", reply, ChatsReply<Vec<Chat<&str>>, &str>);
    let reply = ChatsReply { success: true, chats: [(); 0], error_message: "", stale: false };
    golden!("reply_get_chats_empty", reply, ChatsReply<Vec<Chat<&str>>, &str>);
}

#[test]
fn users() {
    let reply = UsersReply { success: true, users: ["Quote'd", "böb"], error_message: "", stale: false };
    golden!("reply_get_all_users", reply, UsersReply<Vec<&str>, &str>);
    golden!("reply_get_users_to_display", reply, UsersReply<Vec<&str>, &str>);
    let reply = UsersReply { stale: true, ..reply };
    golden!("reply_get_users_to_display_stale", reply, UsersReply<Vec<&str>, &str>);
}

#[test]
fn get_user_message_limit() {
    let reply = LimitReply { message_limit: Shown(6), error_message: "", stale: false };
    golden!("reply_get_user_message_limit", reply, LimitReply<&str, &str>);
    golden!("reply_get_user_message_limit_stale", LimitReply { stale: true, ..reply }, LimitReply<&str, &str>);
}

#[test]
fn start_chat() {
    let reply = StartChatReply { success: true, chat_id: "alice_bob", error_message: "" };
    golden!("reply_start_chat", reply, StartChatReply<&str>);
}

#[test]
fn get_messages() {
    let reply = MessagesReply { success: Some(true), messages: &MESSAGES, error_message: "", stale: false };
    golden!("reply_get_messages", reply, MessagesReply<Vec<Message<&str>>, &str>);
    let reply = MessagesReply { stale: true, ..reply };
    golden!("reply_get_messages_stale", reply, MessagesReply<Vec<Message<&str>>, &str>);
    let placeholders = [Placeholder::ELSEWHERE, Placeholder::DELETED, Placeholder::PAGE_FULL];
    let reply = MessagesReply { success: Some(true), messages: &placeholders, error_message: "", stale: false };
    golden!("reply_get_messages_placeholders", reply, MessagesReply<Vec<Placeholder<&str>>, &str>);
    let reply = MessagesReply::<[Message<&str>; 0], _>::invalid_payload();
    golden!("reply_get_messages_invalid_payload", reply, MessagesReply<Vec<Message<&str>>, &str>);
}

/// Texts that answer a handshake, or stand in its place, rather than a request.
const OF_HANDSHAKES: &[&str] =
    &[text::AT_CAPACITY, text::CLIENT_ID_REQUIRED, text::PLAINTEXT_OFF, text::PLAINTEXT_REMOTE];

#[test]
fn every_fixed_refusal() {
    for (name, text) in text::ALL {
        let name = format!("error_{}", name.to_lowercase());
        if *text == text::INVALID_PAYLOAD {
            // It comes in a shape of its own, compared as `reply_get_messages_invalid_payload`.
            continue;
        }
        if OF_HANDSHAKES.contains(text) {
            let reply = HelloReply { status: Status::Error, message: text };
            golden!(&name, reply, HelloReply<&str>);
        } else {
            golden!(&name, Outcome::refused(text), Outcome<&str>);
        }
    }
}

#[test]
fn every_refusal_that_names_something() {
    golden!("error_peer_gone", Outcome::refused(Shown(PeerGone("nobody"))), Outcome<&str>);
    golden!("error_not_you", Outcome::refused(Shown(NotYou("alice"))), Outcome<&str>);
    let name = NameRefused { which: "nickname", reason: "is too long" };
    golden!("error_name_refused", Outcome::refused(Shown(name)), Outcome<&str>);
    let missing = "2 of 3 nodes do not answer";
    golden!("error_not_stored", Outcome::refused(Shown(NotStored(missing))), Outcome<&str>);
    golden!("error_outcome_unknown", Outcome::refused(Shown(OutcomeUnknown(missing))), Outcome<&str>);
    golden!("error_wrong_key", Outcome::refused(Shown(WrongKey("chat_id"))), Outcome<&str>);
    let error = DecodeError { at: 17, kind: DecodeErrorKind::Malformed("tag") };
    golden!("error_malformed", Outcome::refused(Shown(Malformed(error))), Outcome<&str>);
}
