//! Properties of both codecs and of the splitter, over generated messages and damaged ones.

mod common;

use common::{Split, Value, encode, split};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::legacy::Request;
use wire::legacy::field::{ChatKey, Field, Scalar, Text};
use wire::legacy::reply::{Chat, ChatsReply, LoginReply, Message, MessagesReply, Outcome};
use wire::legacy::request::{ChatIds, Indices};
use wire::{DecodeErrorKind, EncodeError};

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Json), Just(Codec::Samira1)]
}

/// Text with everything that JSON escapes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{0,8}", "\\PC{0,12}", "[\u{0}-\u{a0}\"\\\\/\u{2028}\u{ffff}\u{10000}\u{10ffff}]{0,12}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| Value::Integer(number.into())),
        any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan()).prop_map(Value::Float),
        text().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..6).prop_map(Value::List), vec((text(), inner), 0..6).prop_map(Value::Map)]
    })
}

/// A message: a dictionary of anything.
fn message() -> impl Strategy<Value = Value> {
    vec((text(), value()), 0..6).prop_map(Value::Map)
}

/// The message as SAMIRA carries it.
fn without_booleans(value: Value) -> Value {
    match value {
        Value::Bool(value) => Value::Integer(value.into()),
        Value::List(items) => Value::List(items.into_iter().map(without_booleans).collect()),
        Value::Map(pairs) => Value::Map(pairs.into_iter().map(|(key, value)| (key, without_booleans(value))).collect()),
        other => other,
    }
}

/// Encoded messages with some bytes replaced, or nothing but noise.
fn damaged() -> impl Strategy<Value = (Codec, Vec<u8>)> {
    let noise = (codec(), vec(any::<u8>(), 0..64));
    let edits = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let edited = (codec(), vec(message(), 1..3), edits).prop_map(|(codec, messages, edits)| {
        let mut bytes: Vec<u8> = messages.iter().flat_map(|message| encode(codec, message)).collect();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        (codec, bytes)
    });
    prop_oneof![1 => noise, 4 => edited]
}

/// Cuts `bytes` at `cuts`.
fn chunks<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    ends.iter()
        .scan(0, |start, end| {
            let chunk = &bytes[*start..*end];
            *start = *end;
            Some(chunk)
        })
        .collect()
}

/// What a request is made of; [`Parts::requests`] borrows from it.
#[derive(Debug, Clone)]
struct Parts {
    texts: Vec<String>,
    number: i32,
    numbers: Vec<i32>,
    shape: u8,
}

fn parts() -> impl Strategy<Value = Parts> {
    (vec(text(), 3), any::<i32>(), vec(any::<i32>(), 0..20), any::<u8>())
        .prop_map(|(texts, number, numbers, shape)| Parts { texts, number, numbers, shape })
}

impl Parts {
    /// A field that is missing, null, a number or text, depending on two bits of the shape.
    fn text(&self, index: usize) -> Field<Text<'_>> {
        match self.shape >> (2 * index) & 3 {
            0 => Field::Missing,
            1 => Field::Null,
            2 => Text::from(i64::from(self.number)).into(),
            _ => self.texts[index].as_str().into(),
        }
    }

    fn chat(&self) -> Field<ChatKey<'_>> {
        ChatKey { id: &self.texts[0], in_list: self.shape & 1 == 1 }.into()
    }

    /// One request per action.
    fn requests(&self) -> Vec<Request<'_>> {
        let number: Field<i64> = i64::from(self.number).into();
        let indices: Indices = self.numbers.iter().map(|number| i64::from(*number)).collect();
        let chat_ids: ChatIds<'_> = self.texts.iter().map(String::as_str).collect();
        vec![
            Request::Signup { username: self.text(0), nickname: self.text(1), password: self.text(2) },
            Request::Login { username: self.text(0), password: self.text(1) },
            Request::DeleteUser { username: self.text(0) },
            Request::GetChats { user_id: self.text(0) },
            Request::GetAllUsers { exclude_username: self.text(0) },
            Request::UpdateViewLimit { username: self.text(0), new_limit: Scalar::Integer(self.number.into()).into() },
            Request::SaveSettings { username: self.text(0), message_limit: self.texts[1].as_str().into() },
            Request::GetUserMessageLimit { username: self.text(0) },
            Request::StartChat { current_user: self.text(0), other_user: self.text(1) },
            Request::GetUsersToDisplay {
                current_user: self.text(0),
                search_pattern: self.text(1),
                page: number,
                current_page: Field::Missing,
                users_per_page: Field::Null,
            },
            Request::GetMessages { chat_id: self.chat(), current_user: self.text(1) },
            Request::SendChatMessage { chat_id: self.chat(), sender: self.text(1), content: self.text(2) },
            Request::DeleteMessages {
                chat_id: self.chat(),
                message_indices: indices.into(),
                current_user: self.text(1),
            },
            Request::DeleteChats { chat_ids: chat_ids.into() },
            Request::Unknown,
        ]
    }
}

/// Encodes a reply and reads it as what it was.
macro_rules! survives {
    ($codec:expr, $reply:ident) => {
        let mut bytes = encode($codec, &$reply);
        prop_assert_eq!($codec.decode(&mut bytes), Ok($reply));
    };
}

proptest! {
    #[test]
    fn messages_survive_both_codecs(message in message()) {
        let json: Value = Codec::Json.decode(&mut encode(Codec::Json, &message)).expect("JSON");
        prop_assert_eq!(&json, &message);
        let samira: Value = Codec::Samira1.decode(&mut encode(Codec::Samira1, &message)).expect("SAMIRA/1");
        prop_assert_eq!(samira, without_booleans(json));
    }

    #[test]
    fn requests_survive_both_codecs(parts in parts()) {
        for request in parts.requests() {
            let (mut json, mut samira) = (encode(Codec::Json, &request), encode(Codec::Samira1, &request));
            prop_assert!(Codec::Json.decode_request(&mut json) == Ok(request.clone()), "{}", request.action());
            prop_assert!(Codec::Samira1.decode_request(&mut samira) == Ok(request.clone()), "{}", request.action());
        }
    }

    #[test]
    fn replies_survive_both_codecs(codec in codec(), texts in vec(text(), 4), number in any::<i32>(), stale: bool) {
        let [one, two, three, four] = &texts[..] else { unreachable!("four were asked for") };
        let outcome = Outcome { success: stale, error_message: one.as_str() };
        survives!(codec, outcome);
        let login = LoginReply {
            success: true,
            error_message: one.as_str(),
            user_id: number.into(),
            nickname: two.as_str(),
            view_limit: number.into(),
            stale,
        };
        survives!(codec, login);
        let chat = Chat { chat_id: one.as_str(), other_user: two.as_str(), unread_count: number.into() };
        let chats = ChatsReply { success: true, chats: vec![chat; 3], error_message: three.as_str(), stale };
        survives!(codec, chats);
        let message = Message {
            id: number.into(),
            sender: one.as_str(),
            receiver: two.as_str(),
            content: three.as_str(),
            timestamp: four.as_str(),
            read: 1,
        };
        let messages = MessagesReply { success: Some(true), messages: vec![message; 2], error_message: "", stale };
        survives!(codec, messages);
    }

    #[test]
    fn json_is_what_others_call_json(message in message()) {
        let foreign = serde_json::to_vec(&message).expect("JSON");
        if !foreign.windows(4).any(|window| window == b"null") {
            // serde_json writes infinities as null.
            prop_assert_eq!(Codec::Json.decode::<Value>(&mut foreign.clone()), Ok(message.clone()));
        }
        let ours = encode(Codec::Json, &message);
        if !ours.windows(8).any(|window| window == b"Infinity") {
            prop_assert!(serde_json::from_slice::<Value>(&ours).is_ok());
        }
        prop_assert!(ours.is_ascii());
    }

    #[test]
    fn every_truncation_fails(codec in codec(), message in message()) {
        let bytes = encode(codec, &message);
        for len in 0..bytes.len() {
            let error = codec.decode::<Value>(&mut bytes[..len].to_vec()).expect_err("a piece is no message");
            prop_assert!(error.at <= len, "{error}");
            prop_assert_eq!(error.kind, DecodeErrorKind::Truncated, "{} of {}", len, bytes.len());
            let pieces = split(Splitter::new(codec), [&bytes[..len]]);
            prop_assert_eq!(pieces, Split { frames: vec![], rest: bytes[..len].to_vec(), error: None });
        }
    }

    #[test]
    fn buffers_are_filled_up_to_the_end_and_not_past_it(codec in codec(), message in message(), junk: u8) {
        let bytes = encode(codec, &message);
        prop_assert_eq!(codec.encoded_len(&message), Ok(bytes.len()));
        let mut out = vec![junk; bytes.len() + 16];
        prop_assert_eq!(codec.encode(&message, &mut out), Ok(bytes.len()));
        prop_assert_eq!(&out[..bytes.len()], &bytes[..]);
        prop_assert!(out[bytes.len()..].iter().all(|byte| *byte == junk));
        for len in 0..bytes.len() {
            prop_assert_eq!(codec.encode(&message, &mut out[..len]), Err(EncodeError::BufferFull));
        }
    }

    #[test]
    fn messages_end_where_they_end(codec in codec(), messages in vec(message(), 0..4)) {
        let frames: Vec<Vec<u8>> = messages.iter().map(|message| encode(codec, message)).collect();
        let stream = frames.concat();
        prop_assert_eq!(split(Splitter::new(codec), [&stream[..]]), Split { frames, rest: vec![], error: None });
    }

    #[test]
    fn chunks_make_no_difference((codec, bytes) in damaged(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        // A bound that some of these messages reach.
        for bytes_max in [64, 1 << 20] {
            let splitter = || Splitter::with_bytes_max(codec, bytes_max);
            let whole = split(splitter(), [&bytes[..]]);
            prop_assert_eq!(&split(splitter(), chunks(&bytes, &cuts)), &whole);
            prop_assert_eq!(&split(splitter(), bytes.chunks(1)), &whole);
            prop_assert!(whole.frames.iter().all(|frame| frame.len() <= bytes_max));
        }
    }

    #[test]
    fn damage_never_panics_and_no_valid_message_is_lost((codec, bytes) in damaged()) {
        let value = codec.decode::<Value>(&mut bytes.clone());
        let request = codec.decode_request(&mut bytes.clone()).map(|request| request.action());
        let hello = codec.decode_hello(&mut bytes.clone()).is_ok();
        // What a decoder takes for one message, the splitter must, too.
        if let Ok(Value::Map(_)) = value {
            prop_assert!(request.is_ok() && hello);
            let Split { frames, rest, error } = split(Splitter::new(codec), [&bytes[..]]);
            prop_assert_eq!((frames.len(), error), (1, None));
            prop_assert!(rest.iter().all(u8::is_ascii_whitespace));
        } else {
            prop_assert!(request.is_err() && !hello);
        }
        if let Err(error) = value {
            prop_assert!(error.at <= bytes.len(), "{error}");
        }
    }
}
