//! Everything that was recorded between original clients and the original server is understood, and written again
//! byte for byte.

mod common;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::Path;

use common::{Split, Value, encode, split};
use serde::{Deserialize, Serialize};
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::legacy::reply::{
    Chat, ChatsReply, HelloReply, LimitReply, LoginReply, Message, MessagesReply, Outcome, StartChatReply, UsersReply,
};
use wire::legacy::{Hello, Request};

/// One line of a recording.
#[derive(Debug, Deserialize)]
struct Record {
    dir: String,
    hex: String,
    note: String,
    conn: String,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        let digit = |digit: u8| char::from(digit).to_digit(16).expect("hexadecimal") as u8;
        self.hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }
}

/// Recorded bytes that are no message, or not a whole one. The original closed the connection on all of them.
const NO_MESSAGE: &[&str] = &[
    "malformed first message",
    "malformed bytes",
    "top level array",
    "invalid utf-8",
    "top level string",
    "dict with count 2^32-1",
    "unknown type tag 08",
    "invalid utf-8 in a string value",
    "first 20 bytes of a request",
];

/// Messages that mean less to us than they say, so that they cannot be written again from what they mean: unknown
/// actions and keys, a handshake with another text, view limits that were never numbers.
const NOT_CANONICAL: &[&str] = &[
    "unknown action",
    "null action",
    "no action key",
    "integer action",
    "list action (unhashable)",
    "int32 max as action",
    "duplicate key",
    "extra nested keys are ignored",
    "handshake, client_id only (no message key)",
    "handshake, integer client_id, other message text",
    "non-ascii client_id",
    "handshake, empty client_id",
    "null client_id",
    "first message is an action, no client_id",
    "reply: login after 'abc'",
    "reply: login after null limit",
];

/// Values of a type that our requests do not take; the original closed the connection or failed.
const WRONG_KEYS: &[(&str, &str)] = &[
    ("signup with list username", "username"),
    ("save list", "message_limit"),
    ("string index", "message_indices"),
    ("send, integer chat id", "chat_id"),
    ("users_per_page as string '5'", "users_per_page"),
];

/// Decodes one message as `T`, and checks that it is written again as it was.
fn check<'a, T: Deserialize<'a> + Serialize>(codec: Codec, frame: &'a mut [u8], record: &Record) -> T {
    let original = frame.to_vec();
    let value: T = codec.decode(frame).unwrap_or_else(|error| panic!("{}: {error}", record.note));
    if !NOT_CANONICAL.contains(&record.note.as_str()) {
        assert_eq!(encode(codec, &value), as_written(codec, record, original), "{}", record.note);
    }
    value
}

/// What we write for recorded bytes: the same, except for what only a test client would send.
fn as_written(codec: Codec, record: &Record, mut bytes: Vec<u8>) -> Vec<u8> {
    if codec == Codec::Samira1 && record.dir == "c2s" && record.note.contains("tag 04") {
        // We read booleans under their own tag but write them as integers: [.., 4, b] becomes [.., 2, 0, 0, 0, b].
        let value = bytes.split_off(bytes.len() - 2);
        bytes.extend([2, 0, 0, 0, value[1]]);
    }
    bytes
}

/// A reply, of the type that its request calls for.
fn check_reply(codec: Codec, frame: &mut [u8], record: &Record, action: &str) {
    let refused = codec.decode::<Outcome<&str>>(&mut frame.to_vec()).is_ok_and(|outcome| !outcome.success);
    match action {
        "hello" => drop(check::<HelloReply<&str>>(codec, frame, record)),
        _ if refused => drop(check::<Outcome<&str>>(codec, frame, record)),
        _ if record.note == "reply: login after 'abc'" || record.note == "reply: login after null limit" => {
            assert!(codec.decode::<LoginReply<&str>>(frame).is_err(), "a view limit that is no number");
        }
        "login" => drop(check::<LoginReply<&str>>(codec, frame, record)),
        "get_chats" => drop(check::<ChatsReply<Vec<Chat<&str>>, &str>>(codec, frame, record)),
        "get_all_users" | "get_users_to_display" => {
            drop(check::<UsersReply<Vec<&str>, &str>>(codec, frame, record));
        }
        "get_user_message_limit" => drop(check::<LimitReply<&str, &str>>(codec, frame, record)),
        "start_chat" => drop(check::<StartChatReply<&str>>(codec, frame, record)),
        "get_messages" => drop(check::<MessagesReply<Vec<Message<&str>>, &str>>(codec, frame, record)),
        _ => drop(check::<Outcome<&str>>(codec, frame, record)),
    }
}

/// The messages in one record, which must come out the same however they arrive.
fn frames(codec: Codec, bytes: &[u8]) -> Split {
    // Replies of the original have no bound.
    let splitter = || Splitter::with_bytes_max(codec, 1 << 20);
    let whole = split(splitter(), [bytes]);
    for len in [1, 7, 100] {
        assert_eq!(split(splitter(), bytes.chunks(len)), whole);
    }
    whole
}

/// What was asked on one connection and not answered yet.
#[derive(Default)]
struct Connection {
    greeted: bool,
    asked: VecDeque<String>,
}

/// Reads one recording and returns how many messages were in it.
fn read(codec: Codec, path: &Path) -> usize {
    let mut connections = HashMap::<String, Connection>::new();
    let mut count = 0;
    for line in fs::read_to_string(path).expect("a recording").lines() {
        let record: Record = serde_json::from_str(line).expect("a line of a recording");
        if record.note == "TCP connect" {
            connections.insert(record.conn, Connection::default());
            continue;
        }
        let bytes = record.bytes();
        let Split { frames, rest, error } = frames(codec, &bytes);
        if NO_MESSAGE.contains(&record.note.as_str()) {
            let decoded = frames.into_iter().map(|mut frame| codec.decode::<Value>(&mut frame)).collect::<Vec<_>>();
            let failed = error.is_some() || decoded.iter().any(Result::is_err);
            assert!(failed || (decoded.is_empty() && !rest.is_empty()), "{}", record.note);
            continue;
        }
        if codec == Codec::Samira1 && record.note == "one request plus trailing newline" {
            // The newline is no dictionary. JSON takes it as spacing.
            assert_eq!((error.map(|error| error.at), &rest[..]), (Some(bytes.len() - 1), &b"\n"[..]));
        } else {
            assert_eq!(error, None, "{}", record.note);
            assert!(rest.iter().all(u8::is_ascii_whitespace), "{}", record.note);
        }
        let connection = connections.entry(record.conn.clone()).or_default();
        for mut frame in frames {
            count += 1;
            let value: Value = codec.decode(&mut frame.clone()).expect("a message");
            assert_eq!(encode(codec, &value), as_written(codec, &record, frame.clone()), "{}", record.note);
            if record.dir == "s2c" {
                // A full server answers before it is asked.
                let action = connection.asked.pop_front().unwrap_or_else(|| "hello".to_owned());
                check_reply(codec, &mut frame, &record, &action);
            } else if connection.greeted {
                let request: Request<'_> = match WRONG_KEYS.iter().find(|(note, _)| *note == record.note) {
                    None => {
                        let request: Request<'_> = check(codec, &mut frame, &record);
                        assert_eq!(request.wrong_key(), None, "{}", record.note);
                        request
                    }
                    Some((_, key)) => {
                        let request = codec.decode_request(&mut frame).expect("well-formed");
                        assert_eq!(request.wrong_key(), Some(*key), "{}", record.note);
                        request
                    }
                };
                connection.asked.push_back(request.action().to_owned());
            } else {
                connection.greeted = true;
                let _: Hello<'_> = check(codec, &mut frame, &record);
                connection.asked.push_back("hello".to_owned());
            }
        }
    }
    count
}

#[test]
fn recordings_are_understood_and_written_again_byte_for_byte() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut counts = HashMap::new();
    for entry in fs::read_dir(directory).expect("the recordings") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let codec = if name.starts_with("json-") { Codec::Json } else { Codec::Samira1 };
        *counts.entry(codec).or_insert(0) += read(codec, &path);
    }
    assert_eq!(counts, HashMap::from([(Codec::Json, 653), (Codec::Samira1, 680)]), "messages in all recordings");
}
