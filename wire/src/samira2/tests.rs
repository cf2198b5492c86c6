use std::collections::BTreeMap;
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

use serde::de::IgnoredAny;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    PREFACE, encoded_len, frame_to_slice, frame_to_vec, from_slice, keys, strip_preface, tag, to_slice, to_vec,
};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::legacy::reply::Shown;
use crate::limits::DEPTH_MAX;

/// A message with one value, whose key is short and not in the table.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Only<T> {
    v: T,
}

/// Bytes of that key.
const KEY: &[u8] = b"\xe1v";

fn encode<T: Serialize + ?Sized>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    to_vec(message, &mut bytes).expect("the message has a form");
    assert_eq!(encoded_len(message), Ok(bytes.len()));
    bytes
}

/// The bytes of a value inside a message.
fn value<T: Serialize>(value: T) -> Vec<u8> {
    let bytes = encode(&Only { v: value });
    bytes.strip_prefix(KEY).expect("the key first").to_vec()
}

/// Reads a value inside a message; offsets count from its first byte.
fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let message: Result<Only<T>, _> = from_slice(bytes);
    let from_value = |error: DecodeError| DecodeError { at: error.at - KEY.len(), ..error };
    message.map(|only| only.v).map_err(from_value)
}

fn message(value: &[u8]) -> Vec<u8> {
    [KEY, value].concat()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16).expect("digits"))
        .collect()
}

#[test]
fn integers_take_as_few_bytes_as_they_can() {
    // Both sides of every boundary.
    for (number, bytes) in [
        (0, "00"),
        (63, "3f"),
        (64, "b000"),
        (4159, "bfff"),
        (4160, "c00000"),
        (1_052_735, "cfffff"),
        (1_052_736, "d0000000"),
        (269_488_191, "dfffffff"),
        (269_488_192, "a900"),
        (269_488_192 + 127, "a97f"),
        (269_488_192 + 128, "a98001"),
        (i128::from(i64::MAX), "a9bfdfbffffeffffff7f"),
        (i128::from(u64::MAX), "a9bfdfbffffeffffffff01"),
        (-1, "a800"),
        (-128, "a87f"),
        (-129, "a88001"),
        (i128::from(i64::MIN), "a8ffffffffffffffff7f"),
    ] {
        assert_eq!(value(number), unhex(bytes), "{number}");
        assert_eq!(read(&message(&unhex(bytes))), Ok(number), "{number}");
        if let Ok(number) = i64::try_from(number) {
            assert_eq!(value(number), unhex(bytes), "{number}");
            assert_eq!(read(&message(&unhex(bytes))), Ok(number), "{number}");
        }
        if let Ok(number) = u64::try_from(number) {
            assert_eq!(value(number), unhex(bytes), "{number}");
            assert_eq!(read(&message(&unhex(bytes))), Ok(number), "{number}");
        }
    }
    let mut out = vec![1, 2];
    for beyond in [i128::from(u64::MAX) + 1, i128::from(i64::MIN) - 1] {
        assert_eq!(to_vec(&Only { v: beyond }, &mut out), Err(EncodeError::IntegerRange));
    }
    assert_eq!(to_vec(&Only { v: u128::MAX }, &mut out), Err(EncodeError::IntegerRange));
    assert_eq!(out, [1, 2], "a failed encoding leaves nothing behind");
    assert_eq!(
        read::<u8>(&message(&unhex("b0c0"))),
        Err(DecodeError { at: 0, kind: DecodeErrorKind::NumberOutOfRange })
    );
}

#[test]
fn other_values_look_as_described() {
    assert_eq!(value(""), unhex("40"));
    assert_eq!(value("é"), unhex("42 c3a9"));
    assert_eq!(value('é'), unhex("42 c3a9"));
    assert_eq!(value("x".repeat(63)), [&[0x7f][..], &[b'x'; 63]].concat());
    assert_eq!(value("x".repeat(64)), [&[0xa2, 0][..], &[b'x'; 64]].concat());
    assert_eq!(value("x".repeat(64 + 128)), [&[0xa2, 0x80, 1][..], &[b'x'; 64 + 128]].concat());
    assert_eq!(value((true, false, (), None::<u8>, Some(5))), unhex("85 a5 a4 a6 a6 05"));
    assert_eq!(value(1.5), unhex("a7 3ff8000000000000"));
    assert_eq!(value(1.5_f32), unhex("a7 3ff8000000000000"));
    assert_eq!(value([0_u8; 15]), [&[0x8f][..], &[0; 15]].concat());
    assert_eq!(value(vec![0_u8; 16]), [&[0xa0, 0][..], &[0; 16]].concat());
    assert_eq!(value(vec![0_u8; 16 + 128]), [&[0xa0, 0x80, 1][..], &[0; 16 + 128]].concat());
    assert_eq!(value(BTreeMap::from([("a", 1), ("id", 2)])), unhex("92 e161 01 00 02"));
    let many: BTreeMap<_, _> = (0..16).map(|number| (char::from(b'a' + number), number)).collect();
    let pairs: Vec<u8> = (0..16).flat_map(|number| [0xe1, b'a' + number, number]).collect();
    assert_eq!(value(many), [&[0xa1, 0][..], &pairs].concat());
    assert_eq!(value(Raw(b"\0\xff")), unhex("a3 02 00ff"));
    assert_eq!(value(Raw(&[7; 128])), [&[0xa3, 0x80, 1][..], &[7; 128]].concat());
}

/// Serde takes slices of bytes for lists of numbers.
#[derive(Debug, PartialEq)]
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn keys_have_one_form_each() {
    let map = |key: &str| encode(&BTreeMap::from([(key, ())]));
    assert_eq!(map("id"), unhex("00 a6"));
    assert_eq!(map("life"), [&[u8::try_from(keys::KEYS.len() - 1).expect("an index is a byte")][..], b"\xa6"].concat());
    assert_eq!(map(""), unhex("e0 a6"));
    assert_eq!(map("ix"), unhex("e2 6978 a6"));
    assert_eq!(map(&"k".repeat(30)), [&[0xfe][..], &[b'k'; 30], &[0xa6]].concat());
    assert_eq!(map(&"k".repeat(31)), [&[0xff, 0][..], &[b'k'; 31], &[0xa6]].concat());
    assert_eq!(map(&"k".repeat(31 + 128)), [&[0xff, 0x80, 1][..], &[b'k'; 31 + 128], &[0xa6]].concat());
    assert_eq!(to_vec(&BTreeMap::from([(1, 1)]), &mut Vec::new()), Err(EncodeError::KeyNotText));
    for (index, key) in (0_u8..).zip(keys::KEYS) {
        assert_eq!(keys::index(key), Some(index), "{key}");
        assert_eq!(keys::name(index), *key);
        assert_eq!(keys::index(&[*key, "x"].concat()), None);
    }
    let sorted: std::collections::BTreeSet<_> = keys::KEYS.iter().collect();
    assert_eq!(sorted.len(), keys::KEYS.len(), "no name twice");
}

#[test]
fn keys_of_older_and_newer_peers_are_understood() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Known {
        id: u8,
        sender: String,
    }
    let expected = Known { id: 1, sender: "a".to_string() };
    // An older peer has fewer names in its table and writes the others in full.
    assert_eq!(from_slice(&unhex("e2 6964 01 e6 73656e646572 41 61")), Ok(expected));
    // A newer one has more: what it says under them is skipped, whatever it is.
    let newer = unhex("df 92 e161 82 a5 a3 01 ff dd 00 00 01 de a7 0000000000000000 01 41 61");
    let known: Result<Known, _> = from_slice(&newer);
    assert_eq!(known, Ok(Known { id: 1, sender: "a".to_string() }));
    let all: BTreeMap<String, IgnoredAny> = from_slice(&newer).expect("all keys have some name");
    assert!(all.contains_key(keys::UNKNOWN));
}

#[test]
fn lengths_that_serde_does_not_know_are_put_right() {
    /// Says that it has as many items as it is told to say.
    struct Liar<'a>(&'a [u8], Option<usize>);

    impl Serialize for Liar<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut items = serializer.serialize_seq(self.1)?;
            self.0.iter().try_for_each(|item| items.serialize_element(item))?;
            items.end()
        }
    }

    struct Pairs<'a>(&'a [(&'a str, Liar<'a>)], Option<usize>);

    impl Serialize for Pairs<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut pairs = serializer.serialize_map(self.1)?;
            self.0.iter().try_for_each(|(key, value)| pairs.serialize_entry(key, value))?;
            pairs.end()
        }
    }

    for count in [0, 1, 15, 16, 17, 143, 144, 145] {
        let items = vec![9; count];
        let honest = value(Liar(&items, Some(count)));
        for said in [None, Some(0), Some(1), Some(15), Some(16), Some(144), Some(usize::MAX)] {
            assert_eq!(value(Liar(&items, said)), honest, "{count} items, {said:?} said");
            let nested = value(Pairs(&[("id", Liar(&items, said)), ("x", Liar(b"", said))], said));
            assert_eq!(nested, [b"\x92\0", &honest[..], b"\xe1x\x80"].concat());
            let message = Only { v: Liar(&items, said) };
            let mut out = vec![0xaa; KEY.len() + 11 + count];
            assert_eq!(to_slice(&message, &mut out), Ok(KEY.len() + honest.len()));
            assert_eq!(out[KEY.len()..][..honest.len()], honest);
        }
    }
    for len in [0, 63, 64, 191, 192] {
        let text = "x".repeat(len);
        assert_eq!(value(Shown(format_args!("{text}"))), value(&text), "displayed text of {len} bytes");
    }
}

#[test]
fn a_message_is_a_dictionary() {
    assert_eq!(encode(&BTreeMap::<&str, u8>::new()), b"");
    assert_eq!(encode(&Some(Only { v: 1 })), message(&[1]));
    assert_eq!(from_slice(b""), Ok(BTreeMap::<String, u8>::new()));
    let none = EncodeError::Unsupported("message that is not a dictionary");
    assert_eq!(to_vec(&1, &mut Vec::new()), Err(none));
    assert_eq!(to_vec("text", &mut Vec::new()), Err(none));
    assert_eq!(to_vec(&[1], &mut Vec::new()), Err(none));
    assert_eq!(to_vec(&None::<Only<u8>>, &mut Vec::new()), Err(none));
    assert_eq!(to_vec(&Shown("text"), &mut Vec::new()), Err(none));
    assert_eq!(from_slice::<u8>(&[1]), Err(DecodeError { at: 0, kind: DecodeErrorKind::Unexpected("dictionary") }));
}

#[test]
fn enums_take_both_forms() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Dot,
        Line(u8),
        Pair(u8, bool),
        Named { name: String },
    }
    for shape in [Shape::Line(7), Shape::Pair(1, true), Shape::Named { name: "n".to_string() }] {
        assert_eq!(from_slice::<Shape>(&encode(&shape)), Ok(shape.clone()));
        assert_eq!(read(&message(&value(shape.clone()))), Ok(shape));
    }
    assert_eq!(read(&message(&value(Shape::Dot))), Ok(Shape::Dot));
    let kind = DecodeErrorKind::WrongType("a dictionary of one pair");
    assert_eq!(read::<Shape>(&message(&[0x90])), Err(DecodeError { at: 0, kind }));
}

#[test]
fn only_the_one_form_of_a_value_is_read() {
    let check = |bytes: &str, at, kind| {
        let bytes = message(&unhex(bytes));
        assert_eq!(read::<IgnoredAny>(&bytes).map(drop), Err(DecodeError { at, kind }), "{bytes:02x?}");
    };
    check("", 0, DecodeErrorKind::Truncated);
    for reserved in (0xaa..=0xaf).chain(0xe0..=0xff) {
        let bytes = message(&[reserved]);
        let error = DecodeError { at: 0, kind: DecodeErrorKind::Malformed("tag") };
        assert_eq!(read::<IgnoredAny>(&bytes).map(drop), Err(error));
        assert_eq!(read::<u8>(&bytes), Err(error));
        assert_eq!(read::<&str>(&bytes), Err(error));
        assert_eq!(read::<Vec<u8>>(&bytes), Err(error));
        assert_eq!(read::<bool>(&bytes), Err(error));
    }
    // Varints with bytes that say nothing, and with more bits than there are.
    for tag in ["a0", "a1", "a2", "a3", "a8", "a9"] {
        check(&[tag, "8000"].concat(), 1, DecodeErrorKind::Malformed("varint"));
        check(&[tag, "ffffffffffffffffff02"].concat(), 1, DecodeErrorKind::Malformed("varint"));
        check(&[tag, "ffffffffffffffffffff01"].concat(), 1, DecodeErrorKind::Malformed("varint"));
        check(&[tag, "80"].concat(), 2, DecodeErrorKind::Truncated);
    }
    // Integers of more than 64 bits.
    check("a9c0dfbffffeffffffff01", 0, DecodeErrorKind::Malformed("integer"));
    check("a880808080808080808001", 0, DecodeErrorKind::Malformed("integer"));
    // Lengths and counts that nothing follows.
    check("a2 00 61", 3, DecodeErrorKind::Truncated);
    check("a2 ff ff ff ff ff ff ff ff ff 01 61", 12, DecodeErrorKind::Truncated);
    check("a0 ff ff ff ff ff ff ff ff ff 01 00", 12, DecodeErrorKind::Truncated);
    check("a1 ff ff ff ff 01 00 00", 8, DecodeErrorKind::Truncated);
    check("a3 02 00", 3, DecodeErrorKind::Truncated);
    check("41", 1, DecodeErrorKind::Truncated);
    check("81", 1, DecodeErrorKind::Truncated);
    check("d0 00 00", 3, DecodeErrorKind::Truncated);
    check("a7 00", 2, DecodeErrorKind::Truncated);
    check("43 61ff62", 2, DecodeErrorKind::Utf8);
    check("91 e1ff a6", 2, DecodeErrorKind::Utf8);
    check("91 ff 00 61", 4, DecodeErrorKind::Truncated);
    // Behind a value comes the next key.
    check("00 00", 2, DecodeErrorKind::Truncated);
    check("00 e5 61", 3, DecodeErrorKind::Truncated);
}

#[test]
fn nesting_is_bounded() {
    // The message itself is one level.
    let nested = |depth: usize, tag: &[u8]| message(&[&tag.repeat(depth - 1)[..], &[tag::NULL]].concat());
    let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
    for tag in [&b"\x81"[..], b"\x91\0"] {
        assert!(read::<IgnoredAny>(&nested(DEPTH_MAX, tag)).is_ok());
        let error = DecodeError { at: tag.len() * (DEPTH_MAX - 1), kind };
        assert_eq!(read::<IgnoredAny>(&nested(DEPTH_MAX + 1, tag)).map(drop), Err(error));
    }
}

#[test]
fn type_errors_name_the_place_and_the_type() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i32,
    }
    let check = |bytes: &str, at, kind| {
        assert_eq!(from_slice::<Point>(&unhex(bytes)), Err(DecodeError { at, kind }), "{bytes}");
    };
    check("e178 a6", 2, DecodeErrorKind::Unexpected("null"));
    check("e178 a5", 2, DecodeErrorKind::Unexpected("boolean"));
    check("e178 80", 2, DecodeErrorKind::Unexpected("array"));
    check("e178 90", 2, DecodeErrorKind::Unexpected("dictionary"));
    check("e178 40", 2, DecodeErrorKind::Unexpected("text"));
    check("e178 a300", 2, DecodeErrorKind::Unexpected("bytes"));
    check("e178 a9ffffffff07", 2, DecodeErrorKind::NumberOutOfRange);
    check("e178 a7 3ff8000000000000", 2, DecodeErrorKind::Unexpected("float"));
    check("", 0, DecodeErrorKind::MissingKey("x"));
    let of_bytes = DecodeError { at: 0, kind: DecodeErrorKind::Unexpected("integer") };
    assert_eq!(read::<&str>(&message(&[1])), Err(of_bytes));
    assert_eq!(read::<&[u8]>(&message(&[1])), Err(of_bytes));
    assert_eq!(read(&message(b"\xa3\x02ab")), Ok(&b"ab"[..]));
}

#[test]
fn a_slice_is_written_up_to_the_end_and_not_past_it() {
    let values = Only { v: (1, "a", 70, -1, [0_u8; 20], "x".repeat(70)) };
    let expected = encode(&values);
    let mut framed = Vec::new();
    frame_to_vec(&values, &mut framed).expect("the message has a form");
    assert_eq!(framed, [&[u8::try_from(expected.len()).expect("short")][..], &expected].concat());
    let mut out = [0xaa; 128];
    for (bytes, write) in [(&expected, to_slice as fn(&_, &mut [u8]) -> _), (&framed, frame_to_slice)] {
        out.fill(0xaa);
        assert_eq!(write(&values, &mut out), Ok(bytes.len()));
        assert_eq!(out[..bytes.len()], bytes[..]);
        assert!(out[bytes.len()..].iter().all(|byte| *byte == 0xaa));
        for len in 0..bytes.len() {
            assert_eq!(write(&values, &mut out[..len]), Err(EncodeError::BufferFull), "{len}");
        }
    }
}

#[test]
fn the_length_of_a_frame_is_as_short_as_it_can_be() {
    for (len, length) in [(3, "03"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001")] {
        // The text's own head is what is left of the message.
        let text = (0..len).rev().map(|text| "x".repeat(text)).find(|text| encode(&Only { v: text }).len() == len);
        let message = Only { v: text.expect("some text makes a message of any length") };
        let mut out = vec![1, 2];
        frame_to_vec(&message, &mut out).expect("the message has a form");
        assert_eq!(out, [&[1, 2][..], &unhex(length), &encode(&message)].concat());
        let mut slice = vec![0; out.len() - 2];
        assert_eq!(frame_to_slice(&message, &mut slice), Ok(slice.len()));
        assert_eq!(slice, out[2..]);
        assert_eq!(frame_to_slice(&message, &mut vec![0; slice.len() - 1]), Err(EncodeError::BufferFull));
    }
    let mut out = vec![1, 2];
    assert_eq!(frame_to_vec(&1, &mut out), Err(EncodeError::Unsupported("message that is not a dictionary")));
    assert_eq!(out, [1, 2]);
}

#[test]
fn the_preface_is_told_from_everything_else() {
    for len in 0..PREFACE.len() {
        assert_eq!(strip_preface(&PREFACE[..len]), Ok(None));
    }
    assert_eq!(strip_preface(b"\xa2SM2"), Ok(Some(&b""[..])));
    assert_eq!(strip_preface(b"\xa2SM2\0x"), Ok(Some(&b"\0x"[..])));
    let wrong = |at| Err(DecodeError { at, kind: DecodeErrorKind::Malformed("preface") });
    assert_eq!(strip_preface(b"{"), wrong(0));
    assert_eq!(strip_preface(b"\xa2SM3\0"), wrong(3));
    assert_eq!(strip_preface(b"\xa2sM"), wrong(1));
}
