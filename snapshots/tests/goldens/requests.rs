//! What clients say: the handshake and the fourteen actions.

use wire::legacy::field::{ChatKey, Field, Scalar};
use wire::legacy::request::{ChatIds, Indices};
use wire::legacy::{Hello, Request};

/// Hexadecimal SHA-256 of "secret", as clients send it.
const PASSWORD: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

#[test]
fn handshake() {
    golden!("request_hello", Hello::new("client-1"), Hello<'_>);
}

#[test]
fn signup() {
    let request =
        Request::Signup { username: "alice".into(), nickname: "Älice 🔥".into(), password: PASSWORD.into() };
    golden!("request_signup", request, Request<'_>);
}

#[test]
fn login() {
    let request = Request::Login { username: "alice".into(), password: PASSWORD.into() };
    golden!("request_login", request, Request<'_>);
}

#[test]
fn delete_user() {
    golden!("request_delete_user", Request::DeleteUser { username: "alice".into() }, Request<'_>);
}

#[test]
fn get_chats() {
    golden!("request_get_chats", Request::GetChats { user_id: "alice".into() }, Request<'_>);
}

#[test]
fn get_all_users() {
    let request = Request::GetAllUsers { exclude_username: "alice".into() };
    golden!("request_get_all_users", request, Request<'_>);
    let request = Request::GetAllUsers { exclude_username: Field::Missing };
    golden!("request_get_all_users_without_exclude_username", request, Request<'_>);
}

#[test]
fn update_view_limit() {
    let request = Request::UpdateViewLimit { username: "alice".into(), new_limit: Scalar::Integer(9).into() };
    golden!("request_update_view_limit", request, Request<'_>);
}

#[test]
fn save_settings() {
    let request = Request::SaveSettings { username: "alice".into(), message_limit: "12".into() };
    golden!("request_save_settings", request, Request<'_>);
    for (name, message_limit) in
        [("request_save_settings_integer", Scalar::Integer(-3)), ("request_save_settings_float", Scalar::Float(2.5))]
    {
        let request = Request::SaveSettings { username: "alice".into(), message_limit: message_limit.into() };
        golden!(name, request, Request<'_>);
    }
}

#[test]
fn get_user_message_limit() {
    golden!("request_get_user_message_limit", Request::GetUserMessageLimit { username: "alice".into() }, Request<'_>);
}

#[test]
fn start_chat() {
    let request = Request::StartChat { current_user: "alice".into(), other_user: "bob".into() };
    golden!("request_start_chat", request, Request<'_>);
}

#[test]
fn get_users_to_display() {
    let request = |page, current_page| Request::GetUsersToDisplay {
        current_user: "alice".into(),
        search_pattern: "b".into(),
        page,
        current_page,
        users_per_page: 10.into(),
    };
    golden!("request_get_users_to_display", request(0.into(), Field::Missing), Request<'_>);
    golden!("request_get_users_to_display_by_current_page", request(Field::Missing, 1.into()), Request<'_>);
}

#[test]
fn get_messages() {
    let request = Request::GetMessages { chat_id: "alice_bob".into(), current_user: "bob".into() };
    golden!("request_get_messages", request, Request<'_>);
    let chat_id = ChatKey { id: "alice_bob", in_list: true }.into();
    let request = Request::GetMessages { chat_id, current_user: "bob".into() };
    golden!("request_get_messages_by_list", request, Request<'_>);
    let request = Request::GetMessages { chat_id: Field::Null, current_user: "bob".into() };
    golden!("request_get_messages_by_null", request, Request<'_>);
}

#[test]
fn send_chat_message() {
    let request = Request::SendChatMessage {
        chat_id: "alice_bob".into(),
        sender: "alice".into(),
        content: "tab\tquote\" back\\slash \u{7f} ü 日本 🔥\n".into(),
    };
    golden!("request_send_chat_message", request, Request<'_>);
}

#[test]
fn delete_messages() {
    let request = Request::DeleteMessages {
        chat_id: "alice_bob".into(),
        message_indices: Indices::from_slice(&[0, 2, -1]).expect("three fit").into(),
        current_user: "alice".into(),
    };
    golden!("request_delete_messages", request, Request<'_>);
}

#[test]
fn delete_chats() {
    let chat_ids = ChatIds::from_slice(&["alice_bob", "alice_carol"]).expect("two fit").into();
    let request = Request::DeleteChats { chat_ids };
    golden!("request_delete_chats", request, Request<'_>);
}

#[test]
fn unknown() {
    golden!("request_unknown", Request::Unknown, Request<'_>);
}
