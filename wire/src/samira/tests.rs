use std::collections::BTreeMap;
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{encoded_len, from_slice, tag, to_slice, to_vec};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::legacy::reply::Shown;
use crate::limits::DEPTH_MAX;

fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    to_vec(value, &mut bytes).expect("the value has a form");
    assert_eq!(encoded_len(value), Ok(bytes.len()));
    bytes
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16).expect("digits"))
        .collect()
}

#[test]
fn values_look_as_the_original_encodes_them() {
    // From the worked examples of the original's encoder.
    #[derive(Serialize)]
    struct Mixed {
        n: Option<u8>,
        f: f64,
        i: i64,
    }
    assert_eq!(encode(&BTreeMap::<&str, u8>::new()), unhex("07 00000000"));
    assert_eq!(encode(&[0_u64, 2]), unhex("06 00000002 02 00000000 02 00000002"));
    assert_eq!(
        encode(&Mixed { n: None, f: 1.5, i: -1 }),
        unhex("07 00000003 0001 6e 05 0001 66 03 3ff8000000000000 0001 69 02 ffffffff")
    );
    assert_eq!(encode(&(true, false)), unhex("06 00000002 02 00000001 02 00000000"));
    assert_eq!(encode("é"), unhex("01 00000002 c3a9"));
    assert_eq!(encode(&Shown(format_args!("{}-{}", 1, 'b'))), unhex("01 00000003 312d62"));
}

#[test]
fn integers_beyond_32_bits_are_refused() {
    assert_eq!(encode(&i64::from(i32::MAX)), unhex("02 7fffffff"));
    assert_eq!(encode(&i64::from(i32::MIN)), unhex("02 80000000"));
    let mut out = vec![1, 2];
    for value in [i64::from(i32::MAX) + 1, i64::from(i32::MIN) - 1] {
        assert_eq!(to_vec(&value, &mut out), Err(EncodeError::IntegerRange));
    }
    assert_eq!(to_vec(&(1, u64::MAX), &mut out), Err(EncodeError::IntegerRange));
    assert_eq!(out, [1, 2], "a failed encoding leaves nothing behind");
}

#[test]
fn keys_are_text_of_at_most_65535_bytes() {
    let map = |len| BTreeMap::from([("k".repeat(len), 1)]);
    assert_eq!(from_slice(&encode(&map(65_535))), Ok(map(65_535)));
    assert_eq!(to_vec(&map(65_536), &mut Vec::new()), Err(EncodeError::KeyTooLong));
    assert_eq!(to_vec(&BTreeMap::from([(1, 1)]), &mut Vec::new()), Err(EncodeError::KeyNotText));
}

#[test]
fn enums_take_both_forms() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Dot,
        Line(u8),
        Pair(u8, bool),
        Named { name: String },
    }
    for shape in [Shape::Dot, Shape::Line(7), Shape::Pair(1, true), Shape::Named { name: "n".to_string() }] {
        assert_eq!(from_slice::<Shape>(&encode(&shape)), Ok(shape));
    }
}

#[test]
fn booleans_are_read_from_both_tags() {
    for (bytes, expected) in
        [("02 00000000", false), ("02 00000001", true), ("02 00000100", true), ("04 00", false), ("04 ff", true)]
    {
        assert_eq!(from_slice::<bool>(&unhex(bytes)), Ok(expected), "{bytes}");
    }
}

#[test]
fn malformed_bytes_say_where() {
    let check = |bytes: &str, at, kind| {
        assert_eq!(from_slice::<IgnoredAny>(&unhex(bytes)).map(drop), Err(DecodeError { at, kind }), "{bytes}");
    };
    check("", 0, DecodeErrorKind::Truncated);
    check("08", 0, DecodeErrorKind::Malformed("tag"));
    check("00", 0, DecodeErrorKind::Malformed("tag"));
    check("05 05", 1, DecodeErrorKind::TrailingBytes);
    check("01 00000003 61ff62", 6, DecodeErrorKind::Utf8);
    check("07 00000001 0001 ff 05", 7, DecodeErrorKind::Utf8);
    check("01 ffffffff 6161", 7, DecodeErrorKind::Truncated);
    check("06 ffffffff 05", 6, DecodeErrorKind::Truncated);
    check("07 00000001 0001 61 09", 8, DecodeErrorKind::Malformed("tag"));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            bytes.extend([tag::ARRAY, 0, 0, 0, 1]);
        }
        bytes.push(tag::NULL);
        bytes
    };
    assert!(from_slice::<IgnoredAny>(&nested(DEPTH_MAX)).is_ok());
    let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
    assert_eq!(
        from_slice::<IgnoredAny>(&nested(DEPTH_MAX + 1)).map(drop),
        Err(DecodeError { at: 5 * DEPTH_MAX, kind })
    );
}

#[test]
fn a_slice_is_written_up_to_the_end_and_not_past_it() {
    let expected = unhex("06 00000002 02 00000001 01 00000001 61");
    let mut out = [0xaa; 32];
    assert_eq!(to_slice(&(1, "a"), &mut out), Ok(expected.len()));
    assert_eq!(out[..expected.len()], expected);
    assert!(out[expected.len()..].iter().all(|byte| *byte == 0xaa));
    for len in 0..expected.len() {
        assert_eq!(to_slice(&(1, "a"), &mut out[..len]), Err(EncodeError::BufferFull), "{len}");
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
    check("07 00000001 0001 78 05", 8, DecodeErrorKind::Unexpected("null"));
    check("07 00000000", 0, DecodeErrorKind::MissingKey("x"));
    check("02 00000001", 0, DecodeErrorKind::Unexpected("integer"));
    assert_eq!(
        from_slice::<u8>(&unhex("02 00000100")),
        Err(DecodeError { at: 0, kind: DecodeErrorKind::NumberOutOfRange })
    );
}
