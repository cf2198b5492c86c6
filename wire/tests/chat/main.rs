//! Properties of SAMIRA/2 and JSON/2: of generated messages of our own dialect, of anything nested, and of damage.

#[path = "../common/mod.rs"]
mod common;
mod invent;

use std::collections::BTreeSet;

use common::{Split, Value, encode, split};
use invent::Inventor;
use proptest::collection::vec;
use proptest::prelude::*;
use wire::chat::item::Message;
use wire::chat::{Event, FromClient, FromNode, Reply, Request, reply};
use wire::codec::Codec;
use wire::frame::{Splitter, body};
use wire::limits::{CLIENT_FRAME_BYTES_MAX, NODE_FRAME_BYTES_MAX, NODE_FRAME_JSON_BYTES_MAX, REQUEST_BYTES_MAX};
use wire::samira2::keys;
use wire::{DecodeError, DecodeErrorKind, EncodeError};

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Json2), Just(Codec::Samira2)]
}

/// Text with everything that JSON escapes, and around the lengths where heads grow.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{0,8}",
        "\\PC{0,12}",
        "[\u{0}-\u{a0}\"\\\\/\u{2028}\u{ffff}\u{10000}\u{10ffff}]{0,12}",
        "x{60,68}",
        "é{90,100}",
    ]
}

/// Keys: some with an index, some without.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![any::<prop::sample::Index>().prop_map(|index| (*index.get(keys::KEYS)).to_owned()), text(), "k{28,34}",]
}

/// Numbers around the places where a form ends, and any others.
fn integer() -> impl Strategy<Value = u64> {
    let places = vec![0, 64, 4160, 1_052_736, 269_488_192, 1 << 32, 1 << 63, u64::MAX];
    prop_oneof![
        0..100_u64,
        (prop::sample::select(places), -2..=2_i64).prop_map(|(place, offset)| place.wrapping_add_signed(offset)),
        any::<u64>(),
    ]
}

/// Anything that both codecs have a form for; `bytes` with what JSON has none for as well.
fn value(bytes: bool) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            integer().prop_map(|number| Value::Integer(number.into())),
            any::<i64>().prop_map(|number| Value::Integer(number.into())),
            any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::Float),
            text().prop_map(Value::Text),
        ],
        u32::from(bytes) => vec(any::<u8>(), 0..70).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 40, 18, |inner| {
        prop_oneof![vec(inner.clone(), 0..18).prop_map(Value::List), vec((key(), inner), 0..18).prop_map(Value::Map)]
    })
}

/// A message: a dictionary of anything.
fn message(bytes: bool) -> impl Strategy<Value = Value> {
    vec((key(), value(bytes)), 0..6).prop_map(Value::Map)
}

fn frame<T: serde::Serialize + ?Sized>(codec: Codec, message: &T) -> Vec<u8> {
    let mut frame = Vec::new();
    codec.encode_frame_to_vec(message, &mut frame).expect("the message has a form");
    frame
}

/// What chat messages are made of: entropy, and texts to choose from.
fn parts() -> impl Strategy<Value = (Vec<u64>, Vec<String>)> {
    (vec(integer(), 1..200), vec(text(), 1..6))
}

/// Writes and reads a frame in both codecs, and gives what each made of it to `check`.
fn each_codec<T: serde::Serialize>(message: &T, check: impl Fn(Codec, &mut [u8])) {
    for codec in Codec::CHAT {
        let mut bytes = frame(codec, message);
        assert!(Splitter::of_node(codec).push(&bytes).is_ok_and(|end| end.is_some()));
        check(codec, body(codec, &mut bytes));
    }
}

// Each case is many.
proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_chat_message_survives_both_codecs((entropy, texts) in parts()) {
        for name in Request::NAMES {
            let message: FromClient<'_> = Inventor::any(&entropy, &texts).frame(Some("id"), name);
            assert!(message.request.is_some(), "{name}");
            each_codec(&message, |codec, bytes| assert_eq!(codec.decode(bytes), Ok(message.clone()), "{codec:?}"));
        }
        for (re, names) in [(Some("re"), Reply::NAMES), (None, Event::NAMES)] {
            for name in names {
                let message: FromNode<'_> = Inventor::any(&entropy, &texts).frame(re, name);
                assert!(matches!(message, FromNode::Reply { reply: Some(_), .. } | FromNode::Event(Some(_))), "{name}");
                each_codec(&message, |codec, bytes| assert_eq!(codec.decode(bytes), Ok(message.clone()), "{codec:?}"));
            }
        }
    }

    #[test]
    fn every_truncation_fails(codec in codec(), message in message(false)) {
        let bytes = frame(codec, &message);
        // The line feed behind JSON is a courtesy.
        let whole = bytes.trim_ascii_end().len();
        for len in 0..if codec == Codec::Json2 { whole } else { bytes.len() } {
            let piece = split(Splitter::new(codec), [&bytes[..len]]);
            prop_assert_eq!(piece, Split { frames: vec![], rest: bytes[..len].to_vec(), error: None });
        }
        let message = encode(codec, &message);
        let complete = |bytes: &[u8]| codec.decode::<Value>(&mut bytes.to_vec());
        for len in 0..message.len() {
            match complete(&message[..len]) {
                Err(error) => {
                    prop_assert_eq!(error.kind, DecodeErrorKind::Truncated, "{} of {}", len, message.len());
                    prop_assert!(error.at <= len, "{error}");
                }
                // Pairs end with the frame, so that fewer of them are a message, too: the length before it tells.
                Ok(fewer) => {
                    prop_assert_eq!(codec, Codec::Samira2);
                    prop_assert_ne!(Ok(fewer), complete(&message));
                }
            }
        }
    }

    #[test]
    fn buffers_are_filled_up_to_the_end_and_not_past_it(codec in codec(), message in message(false), junk: u8) {
        let bytes = encode(codec, &message);
        let framed = frame(codec, &message);
        prop_assert_eq!(codec.encoded_len(&message), Ok(bytes.len()));
        let mut out = vec![junk; framed.len() + 16];
        prop_assert_eq!(codec.encode(&message, &mut out), Ok(bytes.len()));
        prop_assert_eq!(&out[..bytes.len()], &bytes[..]);
        prop_assert!(out[bytes.len()..].iter().all(|byte| *byte == junk));
        prop_assert_eq!(codec.encode_frame(&message, &mut out), Ok(framed.len()));
        prop_assert_eq!(&out[..framed.len()], &framed[..]);
        prop_assert!(out[framed.len()..].iter().all(|byte| *byte == junk));
        for len in 0..framed.len() {
            prop_assert_eq!(codec.encode_frame(&message, &mut out[..len]), Err(EncodeError::BufferFull));
        }
        let mut copy = framed.clone();
        let behind = if codec == Codec::Json2 { &b"\n"[..] } else { b"" };
        prop_assert_eq!(body(codec, &mut copy), &[&bytes, behind].concat()[..]);
    }
}

proptest! {
    #[test]
    fn both_codecs_carry_the_same(message in message(false)) {
        let json: Value = Codec::Json2.decode(&mut encode(Codec::Json2, &message)).expect("JSON/2");
        let samira: Value = Codec::Samira2.decode(&mut encode(Codec::Samira2, &message)).expect("SAMIRA/2");
        prop_assert_eq!(&json, &message);
        prop_assert_eq!(&samira, &message);
    }

    #[test]
    fn anything_survives_samira2(message in message(true)) {
        let mut bytes = encode(Codec::Samira2, &message);
        prop_assert_eq!(Codec::Samira2.decode::<Value>(&mut bytes), Ok(message));
    }

    #[test]
    fn json2_is_what_others_call_json(message in message(false)) {
        let ours = encode(Codec::Json2, &message);
        // Not compared: serde_json reads floats fast rather than exactly.
        prop_assert!(serde_json::from_slice::<Value>(&ours).is_ok());
        let foreign = serde_json::to_vec(&message).expect("JSON");
        prop_assert_eq!(Codec::Json2.decode::<Value>(&mut foreign.clone()), Ok(message));
        prop_assert!(!ours.contains(&b'\n'), "one line");
    }

    #[test]
    fn frames_end_where_they_end(codec in codec(), messages in vec(message(false), 0..4)) {
        let stream: Vec<u8> = messages.iter().flat_map(|message| frame(codec, message)).collect();
        let Split { frames, rest, error } = split(Splitter::new(codec), [&stream[..]]);
        prop_assert_eq!(error, None);
        prop_assert!(rest.trim_ascii().is_empty());
        let read: Vec<Value> =
            frames.into_iter().map(|mut frame| codec.decode(body(codec, &mut frame)).expect("a message")).collect();
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn damage_never_panics_and_chunks_make_no_difference(
        codec in codec(),
        messages in vec(message(false), 1..3),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in vec(any::<u8>(), 0..64),
    ) {
        let mut damaged: Vec<u8> = messages.iter().flat_map(|message| frame(codec, message)).collect();
        for (at, byte) in edits {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        for bytes in [damaged, noise] {
            for bytes_max in [64, 1 << 20] {
                let whole = split(Splitter::with_bytes_max(codec, bytes_max), [&bytes[..]]);
                prop_assert_eq!(&split(Splitter::with_bytes_max(codec, bytes_max), bytes.chunks(1)), &whole);
                prop_assert_eq!(&split(Splitter::with_bytes_max(codec, bytes_max), bytes.chunks(7)), &whole);
                for mut frame in whole.frames {
                    // White space between two messages belongs to neither, and to no bound.
                    prop_assert!(frame.trim_ascii().len() <= bytes_max);
                    let message = body(codec, &mut frame);
                    let len = message.len();
                    for error in [
                        codec.decode::<Value>(&mut message.to_vec()).err(),
                        codec.decode::<FromClient<'_>>(&mut message.to_vec()).err(),
                        codec.decode::<FromNode<'_>>(&mut message.to_vec()).err(),
                    ]
                    .into_iter()
                    .flatten()
                    {
                        prop_assert!(error.at <= len, "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_decodes_has_no_other_form(bytes in vec(prop_oneof![0..8_u8, 0x40..0x44_u8, 0x80..0xb4_u8, any::<u8>()], 0..24)) {
        if let Ok(value) = Codec::Samira2.decode::<Value>(&mut bytes.clone()) {
            let again = encode(Codec::Samira2, &value);
            // Only keys have two forms: written in full where they have an index, or with an index nobody knows.
            if !bytes.iter().any(|byte| *byte as usize >= keys::KEYS.len()) {
                prop_assert_eq!(again, bytes);
            } else {
                prop_assert_eq!(format!("{:?}", Codec::Samira2.decode::<Value>(&mut again.clone())), format!("{:?}", Ok::<_, DecodeError>(value)));
            }
        }
    }
}

/// Every key of every message, as the types themselves tell it.
#[test]
fn no_key_of_ours_is_written_in_full() {
    /// Keys of a dictionary, at any depth, in the order in which they come.
    fn keys_of(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Map(pairs) => {
                for (key, value) in pairs {
                    found.insert(key.clone());
                    keys_of(value, found);
                }
            }
            Value::List(items) => items.iter().for_each(|item| keys_of(item, found)),
            _ => {}
        }
    }

    let texts = ["text".to_owned()];
    let mut found = BTreeSet::new();
    let mut look = |bytes: &mut [u8]| keys_of(&Codec::Samira2.decode(bytes).expect("a message"), &mut found);
    for name in Request::NAMES {
        let message: FromClient<'_> = Inventor::full(&texts).frame(Some("id"), name);
        look(&mut encode(Codec::Samira2, &message));
    }
    for (re, names) in [(Some("re"), Reply::NAMES), (None, Event::NAMES)] {
        for name in names {
            let message: FromNode<'_> = Inventor::full(&texts).frame(re, name);
            look(&mut encode(Codec::Samira2, &message));
        }
    }
    assert!(found.len() > 80, "{found:?}");
    for key in found {
        assert!(keys::KEYS.contains(&&*key), "append {key} to the table");
    }
}

#[test]
fn a_frame_is_bounded_before_it_has_arrived() {
    for (codec, splitter, max) in [
        (Codec::Samira2, Splitter::new as fn(_) -> _, CLIENT_FRAME_BYTES_MAX),
        (Codec::Samira2, Splitter::of_node, NODE_FRAME_BYTES_MAX),
        (Codec::Json2, Splitter::new, REQUEST_BYTES_MAX),
        (Codec::Json2, Splitter::of_node, NODE_FRAME_JSON_BYTES_MAX),
    ] {
        let (before, behind) =
            if codec == Codec::Json2 { (&b"{\"text\":\""[..], &b"\"}"[..]) } else { (&b""[..], &b""[..]) };
        let framed = |len: usize| {
            let length = if codec == Codec::Json2 { Vec::new() } else { varint(len - 3) };
            let text = vec![b'x'; len - length.len() - before.len() - behind.len()];
            [&length[..], before, &text, behind].concat()
        };
        let error = DecodeErrorKind::LimitExceeded { what: "message size", max };
        assert_eq!(splitter(codec).push(&framed(max)), Ok(Some(max)));
        assert_eq!(splitter(codec).push(&framed(max + 1)).map_err(|error| error.kind), Err(error));
        if codec == Codec::Samira2 {
            // As soon as its length is there.
            assert_eq!(splitter(codec).push(&framed(max + 1)[..3]), Err(DecodeError { at: 2, kind: error }));
        }
    }
    let mut splitter = Splitter::new(Codec::Samira2);
    let kind = DecodeErrorKind::Malformed("frame length");
    assert_eq!(splitter.push(&[0x80, 0]), Err(DecodeError { at: 1, kind }));
    assert!(Splitter::new(Codec::Samira2).is_idle());
    assert_eq!(Splitter::new(Codec::Samira2).push(&[0]), Ok(Some(1)), "an empty message");
}

/// The length of a frame, in three bytes.
fn varint(length: usize) -> Vec<u8> {
    let group = |shift: usize| u8::try_from(length >> shift & 0x7f).expect("seven bits");
    vec![group(0) | 0x80, group(7) | 0x80, group(14)]
}

/// A short message and its acknowledgement fit a payload that small radios send in one piece.
#[test]
fn a_short_message_is_short() {
    let lengths = |[id, conversation, number, user, re]: [u64; 5]| {
        let text = "Could you bring the small ladder, please";
        assert_eq!(text.len(), 40);
        let time_ms = 1_795_348_800_000;
        let message = Message { id, conversation, number, sender: user, time_ms, text, seq: 0 };
        let event = frame(Codec::Samira2, &FromNode::Event(Some(Event::Message(message))));
        let sent = reply::Sent { conversation, number, id };
        let ack = frame(Codec::Samira2, &FromNode::Reply { re, reply: Some(Reply::Sent(sent)) });
        (event.len(), ack.len())
    };
    // A group of sixty who have sent each other a hundred thousand messages.
    let (event, ack) = lengths([100_000, 1_770, 2_500, 60, 40]);
    assert!(event + ack <= 80, "{event} and {ack} bytes");
    // No number below a hundred thousand.
    let (event, ack) = lengths([100_000; 5]);
    assert!(event <= 70 && ack <= 20, "{event} and {ack} bytes");
}
