use std::string::String;
use std::vec::Vec;

use super::Splitter;
use crate::codec::Codec;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;
use crate::samira::tag;

/// Feeds `stream` in chunks of `chunk` bytes and returns the messages' lengths, or the error with its offset from the
/// start of the stream.
fn split(codec: Codec, bytes_max: usize, stream: &[u8], chunk: usize) -> (Vec<usize>, Option<DecodeError>) {
    let mut splitter = Splitter::with_bytes_max(codec, bytes_max);
    let mut buffer = Vec::new();
    let mut lengths = Vec::new();
    for piece in stream.chunks(chunk) {
        buffer.extend_from_slice(piece);
        loop {
            match splitter.push(&buffer) {
                Ok(Some(len)) => {
                    buffer.drain(..len);
                    lengths.push(len);
                }
                Ok(None) => break,
                Err(error) => {
                    let at = error.at + lengths.iter().sum::<usize>();
                    return (lengths, Some(DecodeError { at, ..error }));
                }
            }
        }
    }
    (lengths, None)
}

fn check(codec: Codec, stream: &[u8], lengths: &[usize], error: Option<(usize, DecodeErrorKind)>) {
    let error = error.map(|(at, kind)| DecodeError { at, kind });
    for chunk in 1..=stream.len() {
        let got = split(codec, 1 << 20, stream, chunk);
        assert_eq!(got, (lengths.to_vec(), error), "{} in chunks of {chunk}", stream.escape_ascii());
    }
}

#[test]
fn json_messages_end_with_their_bracket() {
    check(Codec::Json, b"{}", &[2], None);
    check(Codec::Json, b"{}{}", &[2, 2], None);
    check(Codec::Json, b" {}\r\n\t{} ", &[3, 5], None);
    check(Codec::Json, br#"{"a": [1, {"b": "}]\"{"}, -2.5e+3, NaN], "c": {}}{"d"#, &[49], None);
    check(Codec::Json, br#"{"\\": "\\"}{}"#, &[12, 2], None);
    check(Codec::Json, b"{\"a\": \"", &[], None);
}

#[test]
fn json_garbage_is_seen_at_once() {
    let malformed = |what| DecodeErrorKind::Malformed(what);
    check(Codec::Json, b"[1,2]", &[], Some((0, DecodeErrorKind::WrongType("an object"))));
    check(Codec::Json, b"{}\"str\"", &[2], Some((2, DecodeErrorKind::WrongType("an object"))));
    check(Codec::Json, b"{garbage", &[], Some((1, malformed("key"))));
    check(Codec::Json, b"{,", &[], Some((1, malformed("key"))));
    check(Codec::Json, b"{\"a\" \"b", &[], Some((5, malformed("separator behind a key"))));
    check(Codec::Json, b"{\"a\": }", &[], Some((6, malformed("value"))));
    check(Codec::Json, b"{\"a\": [1}", &[], Some((8, malformed("separator"))));
    check(Codec::Json, b"{\"a\": 1]", &[], Some((7, malformed("separator"))));
    check(Codec::Json, b"{\"a\": 1 2", &[], Some((8, malformed("separator"))));
    check(Codec::Json, b"{\"a\": 1,}", &[], Some((8, malformed("key"))));
    check(Codec::Json, b"{\"a\n", &[], Some((3, malformed("character in text"))));
    check(Codec::Json, b"{\"a\\x", &[], Some((4, malformed("escape"))));
}

#[test]
fn samira_messages_end_with_their_last_value() {
    let message =
        b"\x07\0\0\0\x03\0\x01a\x01\0\0\0\x02hi\0\0\x06\0\0\0\x03\x02\0\0\0\x01\x04\x01\x05\0\x01c\x07\0\0\0\0";
    check(Codec::Samira1, message, &[message.len()], None);
    check(Codec::Samira1, b"\x07\0\0\0\0\x07\0\0\0\0", &[5, 5], None);
    let two = [&message[..], &message[..], b"\x07\0\0"].concat();
    check(Codec::Samira1, &two, &[message.len(), message.len()], None);
    check(Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x01\0\0\0\x05hi", &[], None);
}

#[test]
fn samira_garbage_is_seen_at_once() {
    check(Codec::Samira1, b"\x06\0\0\0\0", &[], Some((0, DecodeErrorKind::WrongType("a dictionary"))));
    check(Codec::Samira1, b"\x07\0\0\0\0\0", &[5], Some((5, DecodeErrorKind::WrongType("a dictionary"))));
    check(Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x08", &[], Some((8, DecodeErrorKind::Malformed("tag"))));
    check(Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\0", &[], Some((8, DecodeErrorKind::Malformed("tag"))));
    let huge = DecodeErrorKind::LimitExceeded { what: "item count", max: (1 << 20) / 3 };
    check(Codec::Samira1, b"\x07\xff\xff\xff\xff", &[], Some((0, huge)));
    let long = DecodeErrorKind::LimitExceeded { what: "message size", max: 1 << 20 };
    check(Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x01\xff\xff\xff\xff", &[], Some((8, long)));
}

#[test]
fn nesting_is_bounded() {
    let json = |depth: usize| ["{\"a\": ".repeat(depth - 1), "{}".into(), "}".repeat(depth - 1)].concat();
    let limit = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
    let deepest: String = json(DEPTH_MAX);
    check(Codec::Json, deepest.as_bytes(), &[deepest.len()], None);
    check(Codec::Json, json(DEPTH_MAX + 1).as_bytes(), &[], Some((6 * DEPTH_MAX, limit)));

    let samira = |depth: usize| {
        let mut bytes = Vec::from(b"\x07\0\0\0\x01\0\0");
        for _ in 2..depth {
            bytes.extend([tag::ARRAY, 0, 0, 0, 1]);
        }
        bytes.extend([tag::ARRAY, 0, 0, 0, 0]);
        bytes
    };
    check(Codec::Samira1, &samira(DEPTH_MAX), &[samira(DEPTH_MAX).len()], None);
    check(Codec::Samira1, &samira(DEPTH_MAX + 1), &[], Some((2 + 5 * DEPTH_MAX, limit)));
}

#[test]
fn size_is_bounded() {
    let json = br#"{"a": "0123456789"}"#;
    let samira = b"\x07\0\0\0\x02\0\x01a\x01\0\0\0\x03xyz\0\x01b\x05";
    for (codec, message) in [(Codec::Json, &json[..]), (Codec::Samira1, samira)] {
        for chunk in 1..=message.len() {
            let fitting = split(codec, message.len(), message, chunk);
            assert_eq!(fitting, (Vec::from([message.len()]), None));
            for max in 1..message.len() {
                let (lengths, error) = split(codec, max, message, chunk);
                assert!(lengths.is_empty());
                let error = error.expect("a message beyond the bound is refused");
                assert!(error.at <= max, "{error} with at most {max}");
                assert!(matches!(error.kind, DecodeErrorKind::LimitExceeded { .. }), "{error}");
            }
        }
    }
}

#[test]
fn the_bound_does_not_depend_on_how_a_stream_is_cut() {
    let json = br#"{"a": "0123456789", "b": 12}"#;
    let samira = b"\x07\0\0\0\x02\0\x01a\x01\0\0\0\x03xyz\0\x01b\x05";
    let samira2 = b"\x04\x00\x07\x2c\x90";
    let long = " \r\n\t".repeat(20);
    let cases: [(Codec, &[u8], &[&str]); 4] = [
        (Codec::Json, json, &["", "\n", &long]),
        (Codec::Json2, json, &["", "\n", &long]),
        (Codec::Samira1, samira, &[""]),
        (Codec::Samira2, samira2, &[""]),
    ];
    for (codec, message, spacings) in cases {
        for spacing in spacings {
            let part = [spacing.as_bytes(), message].concat();
            let stream = part.repeat(3);
            for chunk in (1..=part.len() + 1).chain([stream.len()]) {
                let (lengths, error) = split(codec, message.len(), &stream, chunk);
                assert_eq!((lengths.iter().sum::<usize>(), error), (stream.len(), None), "{codec:?} by {chunk}");
                let (lengths, error) = split(codec, message.len() - 1, &stream, chunk);
                let kind = error.expect("a message beyond the bound is refused").kind;
                assert!(
                    lengths.is_empty() && matches!(kind, DecodeErrorKind::LimitExceeded { .. }),
                    "{codec:?} {kind}"
                );
            }
        }
    }
}

#[test]
fn no_byte_is_looked_at_twice() {
    // Bytes that were pushed before are spoilt before the next push: whoever looks at them again is misled. The head
    // of a SAMIRA value is looked at once it is there as a whole, so its first four bytes may be needed again.
    let text = "x".repeat(200);
    let json = ["{\"a\": \"", &text, "\", \"b\": [1, {\"c\": true}]}"].concat().into_bytes();
    let mut samira = Vec::from(b"\x07\0\0\0\x02\0\x01a\x01\0\0\0\xc8");
    samira.extend_from_slice(text.as_bytes());
    samira.extend_from_slice(b"\0\x01b\x06\0\0\0\x02\x05\x03\0\0\0\0\0\0\0\0");
    for (codec, message, kept) in [(Codec::Json, json, 0), (Codec::Samira1, samira, 4)] {
        for chunk in 1..=message.len() {
            let mut splitter = Splitter::new(codec);
            let mut buffer = Vec::new();
            let mut end = None;
            for piece in message.chunks(chunk) {
                assert_eq!(end, None);
                let seen = buffer.len();
                buffer[..usize::saturating_sub(seen, kept)].fill(0xff);
                buffer.extend_from_slice(piece);
                end = splitter.push(&buffer).expect("a good message");
            }
            assert_eq!(end, Some(message.len()), "{codec:?} in chunks of {chunk}");
        }
    }
}

#[test]
fn spacing_between_messages_is_no_beginning() {
    let mut json = Splitter::new(Codec::Json);
    assert!(json.is_idle());
    assert_eq!(json.push(b"{}\n"), Ok(Some(2)));
    assert!(json.is_idle());
    assert_eq!(json.push(b"\n"), Ok(None));
    assert!(json.is_idle());
    json.reset();
    assert_eq!(json.push(b"{"), Ok(None));
    assert!(!json.is_idle());
    let mut samira = Splitter::new(Codec::Samira1);
    assert!(samira.is_idle());
    assert_eq!(samira.push(b"\x07"), Ok(None));
    assert!(!samira.is_idle());
}
