use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

use super::{ChatIds, Indices, Request};
use crate::codec::Codec;
use crate::legacy::Hello;
use crate::legacy::field::{ChatKey, Field, Scalar, Text};
use crate::limits::DELETE_INDICES_MAX;

fn check(json: &str, expected: &Request<'_>) {
    let mut bytes = json.as_bytes().to_vec();
    let decoded = Codec::Json.decode_request(&mut bytes).expect("well-formed");
    assert!(decoded == *expected, "{json}");
}

fn encode(request: &Request<'_>) -> String {
    let mut bytes = Vec::new();
    Codec::Json.encode_to_vec(request, &mut bytes).expect("the request has a form");
    String::from_utf8(bytes).expect("JSON is text")
}

#[test]
fn every_action_is_read_and_written_in_its_key_order() {
    let list = || Indices::from_slice(&[0, -2]).expect("two fit");
    let ids = || ChatIds::from_slice(&["a_b"]).expect("one fits");
    for (json, request) in [
        (
            r#"{"action": "signup", "username": "u", "nickname": "n", "password": "p"}"#,
            Request::Signup { username: "u".into(), nickname: "n".into(), password: "p".into() },
        ),
        (
            r#"{"action": "login", "username": "u", "password": "p"}"#,
            Request::Login { username: "u".into(), password: "p".into() },
        ),
        (r#"{"action": "delete_user", "username": "u"}"#, Request::DeleteUser { username: "u".into() }),
        (r#"{"action": "get_chats", "user_id": "u"}"#, Request::GetChats { user_id: "u".into() }),
        (
            r#"{"action": "get_all_users", "exclude_username": "u"}"#,
            Request::GetAllUsers { exclude_username: "u".into() },
        ),
        (
            r#"{"action": "update_view_limit", "username": "u", "new_limit": 9}"#,
            Request::UpdateViewLimit { username: "u".into(), new_limit: Scalar::Integer(9).into() },
        ),
        (
            r#"{"action": "save_settings", "username": "u", "message_limit": "12"}"#,
            Request::SaveSettings { username: "u".into(), message_limit: "12".into() },
        ),
        (
            r#"{"action": "get_user_message_limit", "username": "u"}"#,
            Request::GetUserMessageLimit { username: "u".into() },
        ),
        (
            r#"{"action": "start_chat", "current_user": "u", "other_user": "o"}"#,
            Request::StartChat { current_user: "u".into(), other_user: "o".into() },
        ),
        (
            r#"{"action": "get_users_to_display", "current_user": "u", "search_pattern": "", "page": 0, "users_per_page": 10}"#,
            Request::GetUsersToDisplay {
                current_user: "u".into(),
                search_pattern: "".into(),
                page: 0.into(),
                current_page: Field::Missing,
                users_per_page: 10.into(),
            },
        ),
        (
            r#"{"action": "get_messages", "chat_id": ["a_b"], "current_user": "u"}"#,
            Request::GetMessages { chat_id: ChatKey { id: "a_b", in_list: true }.into(), current_user: "u".into() },
        ),
        (
            r#"{"action": "send_chat_message", "chat_id": "a_b", "sender": "u", "content": "\u00fc"}"#,
            Request::SendChatMessage { chat_id: "a_b".into(), sender: "u".into(), content: "ü".into() },
        ),
        (
            r#"{"action": "delete_messages", "chat_id": "a_b", "message_indices": [0, -2], "current_user": "u"}"#,
            Request::DeleteMessages { chat_id: "a_b".into(), message_indices: list().into(), current_user: "u".into() },
        ),
        (r#"{"action": "delete_chats", "chat_ids": ["a_b"]}"#, Request::DeleteChats { chat_ids: ids().into() }),
    ] {
        check(json, &request);
        assert_eq!(encode(&request), json);
        assert!(json.contains(request.action()));
    }
    assert_eq!(Request::ACTIONS.len(), 14);
}

#[test]
fn what_is_no_action_is_unknown() {
    for json in [
        "{}",
        r#"{"action": null}"#,
        r#"{"action": 5}"#,
        r#"{"action": [1]}"#,
        r#"{"action": "nope"}"#,
        r#"{"foo": 1}"#,
        r#"{"action": "login", "action": "nope"}"#,
    ] {
        check(json, &Request::Unknown);
    }
}

#[test]
fn key_order_repetition_and_strangers_do_not_matter() {
    check(
        r#"{"password": "x", "extra": {"x": [1, 2.5, null, "s"]}, "username": "u", "password": "p", "action": "login"}"#,
        &Request::Login { username: "u".into(), password: "p".into() },
    );
}

#[test]
fn missing_null_wrong_and_empty_are_told_apart() {
    let login = |username| Request::Login { username, password: Field::Missing };
    check(r#"{"action": "login"}"#, &login(Field::Missing));
    check(r#"{"action": "login", "username": null}"#, &login(Field::Null));
    check(r#"{"action": "login", "username": ["u"]}"#, &login(Field::Wrong));
    check(r#"{"action": "login", "username": {"u": 1}}"#, &login(Field::Wrong));
    check(r#"{"action": "login", "username": ""}"#, &login("".into()));
    assert_eq!(login(Field::Wrong).wrong_key(), Some("username"));
    assert_eq!(login("".into()).wrong_key(), None);
}

#[test]
fn numbers_serve_as_text_the_way_python_shows_them() {
    for (json, text) in [
        ("123", "123"),
        ("-1", "-1"),
        ("0", ""),
        ("true", "True"),
        ("false", ""),
        ("2.5", "2.5"),
        ("0.0", ""),
        ("1e16", "1e+16"),
        ("NaN", "nan"),
        ("-Infinity", "-inf"),
        ("\"x\"", "x"),
    ] {
        let mut bytes = ["{\"action\": \"delete_user\", \"username\": ", json, "}"].concat().into_bytes();
        let Ok(Request::DeleteUser { username }) = Codec::Json.decode_request(&mut bytes) else { panic!("{json}") };
        assert_eq!(username.text(), text, "{json}");
    }
    let request = Request::DeleteUser { username: Text::from(123).into() };
    assert_eq!(encode(&request), r#"{"action": "delete_user", "username": 123}"#, "it goes out as it came");
}

#[test]
fn limits_are_numbers_or_text_of_digits() {
    for (json, whole) in [
        ("15", Some(15)),
        ("-3", Some(-3)),
        ("true", Some(1)),
        ("\"12\"", Some(12)),
        ("\"007\"", Some(7)),
        ("\" 5 \"", Some(5)),
        ("\"abc\"", None),
        ("\"\"", None),
        ("2.0", Some(2)),
        ("2.5", None),
        ("NaN", None),
        ("1e300", None),
        ("4294967296", Some(4_294_967_296)),
    ] {
        let mut bytes = ["{\"action\": \"save_settings\", \"message_limit\": ", json, "}"].concat().into_bytes();
        let Ok(Request::SaveSettings { message_limit, .. }) = Codec::Json.decode_request(&mut bytes) else {
            panic!("{json}")
        };
        assert_eq!(message_limit.given().expect("given").whole(), whole, "{json}");
    }
}

#[test]
fn lists_are_bounded() {
    let request = |count: usize| {
        let indices = vec!["7"; count].join(", ");
        ["{\"action\": \"delete_messages\", \"message_indices\": [", &indices, "]}"].concat().into_bytes()
    };
    for (count, fits) in [(0, true), (DELETE_INDICES_MAX, true), (DELETE_INDICES_MAX + 1, false)] {
        let mut bytes = request(count);
        let Ok(Request::DeleteMessages { message_indices, .. }) = Codec::Json.decode_request(&mut bytes) else {
            panic!("{count}")
        };
        assert_eq!(message_indices.given().map(|indices| indices.len()), fits.then_some(count));
        assert_eq!(message_indices.is_wrong(), !fits);
    }
}

#[test]
fn wrong_items_make_a_wrong_list() {
    for list in ["[\"0\"]", "[null]", "[1, [2], 3]", "[1.5]", "7", "\"7\"", "{}"] {
        let mut bytes = ["{\"action\": \"delete_messages\", \"message_indices\": ", list, "}"].concat().into_bytes();
        let request = Codec::Json.decode_request(&mut bytes).expect("well-formed");
        assert_eq!(request.wrong_key(), Some("message_indices"), "{list}");
    }
    for chat in ["[]", "[5]", "[null, \"a_b\"]", "12", "true"] {
        let mut bytes = ["{\"action\": \"get_messages\", \"chat_id\": ", chat, "}"].concat().into_bytes();
        let request = Codec::Json.decode_request(&mut bytes).expect("well-formed");
        assert_eq!(request.wrong_key(), Some("chat_id"), "{chat}");
    }
}

#[test]
fn a_hello_needs_a_client_id_that_counts() {
    for (json, client_id) in [
        (r#"{"client_id": "c1", "message": "connection_request"}"#, Some("c1")),
        (r#"{"client_id": 77, "message": "x"}"#, Some("77")),
        (r#"{"client_id": "old", "client_id": "new"}"#, Some("new")),
        (r#"{"client_id": ""}"#, None),
        (r#"{"client_id": 0}"#, None),
        (r#"{"client_id": null, "message": "m"}"#, None),
        (r#"{"client_id": ["c1"]}"#, None),
        (r#"{"action": "login", "username": "x", "password": "y"}"#, None),
        ("{}", None),
    ] {
        let mut bytes = json.to_string().into_bytes();
        let hello = Codec::Json.decode_hello(&mut bytes).expect("well-formed");
        assert_eq!(hello.client_id.as_deref(), client_id, "{json}");
    }
    let mut bytes = Vec::new();
    Codec::Json.encode_to_vec(&Hello::new("c1"), &mut bytes).expect("it has a form");
    assert_eq!(bytes, br#"{"client_id": "c1", "message": "connection_request"}"#);
}

#[test]
fn nothing_private_is_in_the_debug_form() {
    let request = Request::Login { username: "u".into(), password: "secret".into() };
    assert_eq!(std::format!("{request:?}"), "Request(\"login\")");
    assert_eq!(std::format!("{:?}", Text::from("secret")), "Text(6 bytes)");
}
