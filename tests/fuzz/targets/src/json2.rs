//! JSON/2: messages of our own dialect, and any value as `serde_json` writes it. How JSON is read is the `json` target's.

use serde_json::Value;
use wire::codec::Codec;

use crate::{request, seeds};

/// Decodes the input as messages and as any value.
pub fn run(data: &[u8]) {
    request::check_chat(Codec::Json2, data);
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        let ours = request::encode(Codec::Json2, &value);
        if has_floats(&value) {
            assert!(serde_json::from_slice::<Value>(&ours).is_ok(), "{value} is no JSON any more");
        } else {
            let theirs = serde_json::to_vec(&value).expect("what was decoded has a form");
            assert!(ours == theirs, "{} instead of {}", ours.escape_ascii(), theirs.escape_ascii());
        }
        assert!(!ours.contains(&b'\n'), "a message is one line");
    }
}

/// Every frame of our own dialect.
pub fn seeds() -> Vec<Vec<u8>> {
    seeds::client_bytes(Codec::Json2).frames
}

/// Floats have several forms, and everybody has another favourite.
fn has_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_floats),
        Value::Object(pairs) => pairs.values().any(has_floats),
        _ => false,
    }
}
