use std::collections::BTreeMap;
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{encoded_len, from_slice, to_slice, to_vec};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::legacy::reply::Shown;
use crate::limits::DEPTH_MAX;

fn encode<T: Serialize + ?Sized>(value: &T) -> String {
    let mut bytes = Vec::new();
    to_vec(value, &mut bytes).expect("the value has a form");
    assert_eq!(encoded_len(value), Ok(bytes.len()));
    String::from_utf8(bytes).expect("JSON is text")
}

#[test]
fn values_look_as_in_python() {
    #[derive(Serialize)]
    struct Mixed<'a> {
        text: &'a str,
        list: (i64, u64, f64, bool, Option<u8>),
        map: BTreeMap<&'a str, [u8; 0]>,
    }
    let mixed = Mixed {
        text: "\u{0}\u{1f}\u{7f}\u{80}\u{2028}\n\r\t\u{8}\u{c}\"\\/<é日🔥",
        list: (-1, u64::MAX, 1e22, true, None),
        map: BTreeMap::from([("a", []), ("b\"", [])]),
    };
    // json.dumps() of CPython 3.
    assert_eq!(
        encode(&mixed),
        concat!(
            r#"{"text": "\u0000\u001f\u007f\u0080\u2028\n\r\t\b\f\"\\/<\u00e9\u65e5\ud83d\udd25", "#,
            r#""list": [-1, 18446744073709551615, 1e+22, true, null], "map": {"a": [], "b\"": []}}"#
        )
    );
    assert_eq!(encode(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]), "[NaN, Infinity, -Infinity]");
    assert_eq!(encode(&Shown(format_args!("{}\n{}", "ü", 'b'))), r#""\u00fc\nb""#);
    assert_eq!(encode(&BTreeMap::<&str, u8>::new()), "{}");
    assert_eq!(to_vec(&BTreeMap::from([(1, 1)]), &mut Vec::new()), Err(EncodeError::KeyNotText));
}

#[test]
fn text_is_unescaped_in_place() {
    for (json, expected) in [
        (r#""""#, ""),
        (r#""plain""#, "plain"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""a\u00e9\u65E5\ud83d\uDD25z""#, "aé日🔥z"),
        (r#""raw é日🔥 \n""#, "raw é日🔥 \n"),
        (r#""\u0000""#, "\0"),
        ("\"\u{7f}\"", "\u{7f}"),
    ] {
        assert_eq!(from_slice::<&str>(&mut json.to_string().into_bytes()), Ok(expected), "{json}");
    }
}

#[test]
fn numbers_of_every_form_are_read() {
    fn check<T: for<'a> Deserialize<'a> + PartialEq + core::fmt::Debug>(json: &str, expected: T) {
        assert_eq!(from_slice::<T>(&mut json.to_string().into_bytes()), Ok(expected), "{json}");
    }
    check("0", 0_i64);
    check("-0", 0_i64);
    check("-9223372036854775808", i64::MIN);
    check("18446744073709551615", u64::MAX);
    check("18446744073709551616", 18_446_744_073_709_551_616.0);
    check("-0.5", -0.5);
    check("1e3", 1000.0);
    check("1E+2", 100.0);
    check("2.5e-1", 0.25);
    check("Infinity", f64::INFINITY);
    check("-Infinity", f64::NEG_INFINITY);
    assert!(from_slice::<f64>(&mut b"NaN".to_vec()).is_ok_and(f64::is_nan));
}

#[test]
fn spacing_may_stand_anywhere() {
    let mut json = b" \t\r\n{ \"a\" :\n[ 1 ,\t2 ] , \"b\" : { } }\n".to_vec();
    #[derive(Debug, PartialEq, Deserialize)]
    struct Spaced {
        a: [u8; 2],
        b: BTreeMap<String, u8>,
    }
    assert_eq!(from_slice(&mut json), Ok(Spaced { a: [1, 2], b: BTreeMap::new() }));
}

#[test]
fn malformed_bytes_say_where() {
    let check = |json: &[u8], at, kind| {
        let result = from_slice::<IgnoredAny>(&mut json.to_vec()).map(drop);
        assert_eq!(result, Err(DecodeError { at, kind }), "{}", json.escape_ascii());
    };
    check(b"", 0, DecodeErrorKind::Truncated);
    check(b"  ", 2, DecodeErrorKind::Truncated);
    check(b"this", 0, DecodeErrorKind::Malformed("word"));
    check(b"tru", 3, DecodeErrorKind::Truncated);
    check(b"{} x", 3, DecodeErrorKind::TrailingBytes);
    check(b"[1,]", 3, DecodeErrorKind::Malformed("value"));
    check(b"[1 2]", 3, DecodeErrorKind::Malformed("separator"));
    check(b"{\"a\":1,}", 7, DecodeErrorKind::Malformed("key"));
    check(b"{\"a\" 1}", 5, DecodeErrorKind::Malformed("separator behind a key"));
    check(b"{a:1}", 1, DecodeErrorKind::Malformed("key"));
    check(b"[1}", 2, DecodeErrorKind::Malformed("separator"));
    check(b"01", 1, DecodeErrorKind::TrailingBytes);
    check(b"-", 1, DecodeErrorKind::Truncated);
    check(b"-x", 1, DecodeErrorKind::Malformed("number"));
    check(b"1.x", 2, DecodeErrorKind::Malformed("number"));
    check(b"1e+", 3, DecodeErrorKind::Truncated);
    check(b"+1", 0, DecodeErrorKind::Malformed("value"));
    check(b"\"a\nb\"", 2, DecodeErrorKind::Malformed("character in text"));
    check(b"\"ab", 3, DecodeErrorKind::Truncated);
    check(b"\"ab\\", 4, DecodeErrorKind::Truncated);
    check(b"\"ab\\\"", 5, DecodeErrorKind::Truncated);
    check(b"\"a\\x\"", 2, DecodeErrorKind::Malformed("escape"));
    check(b"\"\\u12g4\"", 1, DecodeErrorKind::Malformed("escape"));
    check(b"\"\\u12\"", 1, DecodeErrorKind::Malformed("escape"));
    check(b"\"\\ud83d\"", 1, DecodeErrorKind::Malformed("surrogate pair"));
    check(b"\"\\ud83dxx\"", 1, DecodeErrorKind::Malformed("surrogate pair"));
    check(b"\"\\ud83d\\u0041\"", 1, DecodeErrorKind::Malformed("surrogate pair"));
    check(b"\"\\udd25\"", 1, DecodeErrorKind::Malformed("surrogate pair"));
    check(b"\"a\xff\"", 2, DecodeErrorKind::Utf8);
    check(b"\xef\xbb\xbf{}", 0, DecodeErrorKind::Malformed("value"));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes();
    assert!(from_slice::<IgnoredAny>(&mut nested(DEPTH_MAX)).is_ok());
    let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
    assert_eq!(
        from_slice::<IgnoredAny>(&mut nested(DEPTH_MAX + 1)).map(drop),
        Err(DecodeError { at: DEPTH_MAX, kind })
    );
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
    for (shape, json) in [
        (Shape::Dot, r#""Dot""#),
        (Shape::Line(7), r#"{"Line": 7}"#),
        (Shape::Pair(1, true), r#"{"Pair": [1, true]}"#),
        (Shape::Named { name: "n".to_string() }, r#"{"Named": {"name": "n"}}"#),
    ] {
        assert_eq!(encode(&shape), json);
        assert_eq!(from_slice::<Shape>(&mut json.to_string().into_bytes()), Ok(shape));
    }
}

#[test]
fn a_slice_is_written_up_to_the_end_and_not_past_it() {
    let mut out = vec![0xaa; 32];
    assert_eq!(to_slice(&(1, "é"), &mut out), Ok(13));
    assert_eq!(&out[..13], br#"[1, "\u00e9"]"#);
    assert!(out[13..].iter().all(|byte| *byte == 0xaa));
    for len in 0..13 {
        assert_eq!(to_slice(&(1, "é"), &mut out[..len]), Err(EncodeError::BufferFull), "{len}");
    }
}
