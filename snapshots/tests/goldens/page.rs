//! The description of our own dialect says what the code does: its tables are held against the code.

use std::collections::BTreeMap;

use wire::chat::code::Remedy;
use wire::chat::{Code, Event, FromClient, FromNode, Reply, Request};
use wire::limits;
use wire::samira2::{self, keys, tag};
use wire::session::rule::{Effect, RULES, Stage};

use crate::shape::{self, Shape};

/// The rows of the table whose first row begins with these cells, without marks of code.
fn table(header: &[&str]) -> Vec<Vec<String>> {
    let page = crate::read("docs/wire.md");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').replace('`', "");
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with('|') || !cells(line).starts_with(&owned(header)));
    assert!(lines.next().is_some() && lines.next().is_some(), "there is no table {header:?}");
    let rows: Vec<_> = lines.take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!rows.is_empty(), "the table {header:?} is empty");
    rows
}

fn owned(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

fn byte(hex: &str) -> u8 {
    u8::from_str_radix(hex, 16).unwrap_or_else(|_| panic!("{hex:?} is no byte"))
}

/// Where a first byte's row ends and begins: `a0`, or `00` to `3f`.
fn range(cell: &str) -> (u8, u8) {
    match cell.split_once(" to ") {
        Some((first, last)) => (byte(first), byte(last)),
        None => (byte(cell), byte(cell)),
    }
}

#[test]
fn every_first_byte_of_a_value_is_described() {
    let mut described = BTreeMap::new();
    for row in table(&["first byte", "value", "further bytes", "counts from"]) {
        let (first, last) = range(&row[0]);
        let (kind, further, base) = (row[1].as_str(), row[2].as_str(), row[3].parse::<u64>().expect("a number"));
        for tag in first..=last {
            assert!(described.insert(tag, kind.replace("negative ", "")).is_none(), "{tag:02x} twice");
        }
        match (kind, further) {
            // The first and the last number of the row, as they are written.
            ("integer", further) => {
                let bytes: u32 = if further == "varint" { 1 } else { further.parse().unwrap_or(0) };
                let count = u64::from(last - first + 1) << (8 * bytes);
                let numbers = if further == "varint" { vec![base] } else { vec![base, base + count - 1] };
                for (number, (tag, rest)) in numbers.into_iter().zip([(first, 0), (last, 0xff)]) {
                    let written = [&[tag][..], &vec![rest; bytes as usize]].concat();
                    assert_eq!(value(&number), written, "{number}");
                }
            }
            ("negative integer", "varint") => assert_eq!((value(&-1), base), (vec![first, 0], 0)),
            ("text", "varint") => {
                assert_eq!((first, base), (tag::TEXT, tag::TEXT_BASE));
                assert_eq!(value(&"x".repeat(base as usize))[..2], [first, 0]);
            }
            ("array", "varint") => assert_eq!(value(&vec![0; base as usize])[..2], [first, 0]),
            ("dictionary", "varint") => {
                let pairs: BTreeMap<String, u8> = (0..base).map(|n| (format!("k{n}"), 0)).collect();
                assert_eq!(value(&pairs)[..2], [first, 0]);
            }
            ("bytes", "varint") => assert_eq!((first, base), (tag::BYTES, 0)),
            ("text", _) => {
                assert_eq!((first, value(&"x".repeat((last - first).into()))[0], base), (tag::SHORT_TEXT, last, 0));
            }
            ("array", _) => assert_eq!((first, value(&vec![0; (last - first).into()])[0], base), (0x80, last, 0)),
            ("dictionary", _) => {
                let pairs: BTreeMap<String, u8> = (0..last - first).map(|n| (format!("k{n}"), 0)).collect();
                assert_eq!((first, value(&pairs)[0], base), (tag::SHORT_DICTIONARY, last, 0));
            }
            ("boolean", _) => assert_eq!((value(&false), value(&true)), (vec![first], vec![last])),
            ("null", _) => assert_eq!(value(&()), [first]),
            ("float", "8") => assert_eq!(value(&1.5), [&[first][..], &1.5_f64.to_be_bytes()].concat()),
            ("reserved", _) => {}
            other => panic!("{other:?} is not known here"),
        }
    }
    for tag in 0..=u8::MAX {
        let kind = described.get(&tag).unwrap_or_else(|| panic!("{tag:02x} is not described"));
        assert_eq!(tag::describe(tag).unwrap_or("reserved"), kind, "{tag:02x}");
    }
}

/// The bytes of a value inside a message.
fn value<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    samira2::to_vec(&BTreeMap::from([("id", value)]), &mut bytes).expect("it has a form");
    bytes.split_off(1)
}

#[test]
fn every_key_with_an_index_is_described() {
    let rows = table(&["index", "+0", "+1"]);
    for (row, number) in rows.iter().zip((0..).step_by(8)) {
        assert_eq!(byte(&row[0]), number);
    }
    let names: Vec<_> = rows.iter().flat_map(|row| &row[1..]).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(names, keys::KEYS);
}

#[test]
fn every_error_is_described() {
    let rows = table(&["number", "code", "remedy"]);
    assert_eq!(rows.len(), Code::ALL.len());
    for (row, code) in rows.iter().zip(Code::ALL) {
        let remedy = match code.remedy() {
            Remedy::Retry => "retry",
            Remedy::LogIn => "log in",
            Remedy::GiveUp => "give up",
        };
        assert_eq!(row[..3], owned(&[&code.number().to_string(), &snake_case(&format!("{code:?}")), remedy]));
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn every_request_stands_there_with_its_rule() {
    let rows = table(&["request", "when", "secret", "write"]);
    assert_eq!(rows.len(), RULES.len());
    for (row, (name, rule)) in rows.iter().zip(RULES) {
        let when = match rule.stage {
            Stage::First => "first",
            Stage::Entry => "entry",
            Stage::Greeted => "greeted",
            Stage::LoggedIn => "logged in",
        };
        let write = match rule.effect {
            Effect::None => "",
            Effect::Write => "write",
            Effect::NumberedWrite => "numbered",
        };
        assert_eq!(row[..4], owned(&[name, when, if rule.secret { "yes" } else { "" }, write]));
        assert!(Reply::NAMES.contains(&row[4].as_str()), "{name} is answered with {}", row[4]);
    }
}

/// What a table of keys says: of each message, in their order, its keys and types. A message that is an item as a whole has
/// one without a name.
fn described_keys(what: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut messages: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for row in table(&[what, "key", "type"]) {
        if !row[0].is_empty() {
            messages.push((row[0].clone(), Vec::new()));
        }
        let (_, keys) = messages.last_mut().expect("the first row has a name");
        if !(row[1].is_empty() && row[2].is_empty()) {
            keys.push((row[1].clone(), row[2].clone()));
        }
    }
    messages
}

fn keys_of(fields: &[(&'static str, Shape)]) -> Vec<(String, String)> {
    fields.iter().map(|(key, shape)| ((*key).to_owned(), shape.to_string())).collect()
}

/// Notes what items a shape is made of.
fn gather(shape: &Shape, items: &mut BTreeMap<String, Vec<(String, String)>>) {
    match shape {
        Shape::List(inner) | Shape::Optional(inner) => gather(inner, items),
        Shape::Struct(_, fields) => {
            items.insert(shape.to_string(), keys_of(fields));
            fields.iter().for_each(|(_, shape)| gather(shape, items));
        }
        Shape::Unknown => panic!("a value of no type"),
        Shape::Integer | Shape::Text | Shape::Boolean | Shape::Bytes => {}
    }
}

#[test]
fn every_key_of_every_message_is_described() {
    let items: BTreeMap<_, _> = described_keys("item").into_iter().collect();
    let mut used = BTreeMap::new();
    let mut check = |what: &str, names: &[&'static str], shape: fn(&'static str) -> Shape| {
        let described = described_keys(what);
        let listed: Vec<_> = described.iter().map(|(name, _)| name).collect();
        assert_eq!(listed, names, "{what}");
        for (&name, (_, keys)) in names.iter().zip(&described) {
            let shape = shape(name);
            let Shape::Struct(_, fields) = &shape else { panic!("{name} is no dictionary") };
            match keys.as_slice() {
                // An item as a whole, or what a reply of that name has.
                [(key, kind)] if key.is_empty() => {
                    assert_eq!(*kind, shape.to_string(), "{what} {name}");
                    gather(&shape, &mut used);
                }
                keys => assert_eq!(keys, keys_of(fields), "{what} {name}"),
            }
            fields.iter().for_each(|(_, shape)| gather(shape, &mut used));
        }
    };
    check("request", Request::NAMES, shape::of_message::<FromClient<'_>>);
    check("reply", Reply::NAMES, shape::of_message::<FromNode<'_>>);
    check("event", Event::NAMES, shape::of_message::<FromNode<'_>>);
    // Described as the reply of that name.
    assert!(used.remove("changes").is_some());
    assert_eq!(items, used);
}

#[test]
fn bounds_are_the_real_ones() {
    macro_rules! bounds {
        ($($name:ident)*) => {
            [$((stringify!($name).to_owned(), (limits::$name as u64).to_string()),)*]
        };
    }
    let described: Vec<_> =
        table(&["bound", "value"]).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let real = bounds! {
        MESSAGE_TEXT_BYTES_MAX NAME_CHARS_MAX PASSWORD_DIGITS NAME_REST_MS NAME_MARKS_IN_A_ROW_MAX DEVICE_NAME_BYTES_MAX DEVICES_PER_USER_MAX TOKEN_BYTES
        SEARCH_PATTERN_BYTES_MAX VIEW_LIMIT_MAX VIEW_LIMIT_DEFAULT CLIENT_FRAME_BYTES_MAX REQUEST_BYTES_MAX
        NODE_FRAME_BYTES_MAX NODE_FRAME_JSON_BYTES_MAX DEPTH_MAX PIPELINE_MAX ITEMS_PER_REQUEST_MAX WATCHED_MAX
        MESSAGES_PER_REPLY_MAX CONVERSATIONS_PER_REPLY_MAX PEOPLE_PER_REPLY_MAX PREVIEW_BYTES_MAX OUTCOMES_KEPT
        SILENCE_MS_MAX TYPING_TTL_MS REPLY_TIMEOUT_MS
    };
    assert_eq!(described, real);
}
