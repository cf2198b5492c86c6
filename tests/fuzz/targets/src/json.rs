//! JSON: requests, and any value beside `serde_json`.

use serde_json::Value;
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::json;
use wire::limits::{DEPTH_MAX, REQUEST_BYTES_MAX};

use crate::splitter::depth;
use crate::{request, seeds};

/// Decodes the input as a request and as any value.
pub fn run(data: &[u8]) {
    request::check(Codec::Json, data);
    let theirs = serde_json::from_slice::<Value>(data);
    let ours = json::from_slice::<Value>(&mut data.to_vec());
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert!(same(ours, theirs), "{ours} is not {theirs}"),
        // We bound the depth where they do not yet.
        (Err(error), Ok(theirs)) => assert!(depth(theirs) > DEPTH_MAX, "only they understand {theirs}: {error}"),
        // We read what Python writes: words for what is no number, and numbers of any size.
        (Ok(_), Err(error)) => {
            let liberal = error.to_string().contains("number out of range")
                || [&b"NaN"[..], b"Infinity"].iter().any(|word| data.windows(word.len()).any(|part| part == *word));
            assert!(liberal, "only we understand it: {error}");
        }
        (Err(error), Err(_)) => request::placed(*error, data),
    }
    if let Ok(value) = ours {
        let bytes = request::encode(Codec::Json, &value);
        let again: Value = serde_json::from_slice(&bytes).expect("what we write is JSON");
        assert!(same(&again, &value), "{value} was written as {again}");
        if value.is_object() && data.len() <= REQUEST_BYTES_MAX {
            let end = Splitter::new(Codec::Json).push(data).expect("it decodes").expect("it is whole");
            assert!(data[end..].trim_ascii().is_empty(), "the message ends at {end}");
        }
    }
}

/// Every message clients sent or are sent.
pub fn seeds() -> Vec<Vec<u8>> {
    seeds::client_bytes(Codec::Json).frames
}

/// Equal, but for the last digits of floats: `serde_json` reads those fast rather than exactly.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let exact = a.is_f64() || b.is_f64() || a == b;
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            exact && (a - b).abs() <= 1e-14 * a.abs().max(b.abs()) + f64::MIN_POSITIVE
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((name, a), (other, b))| name == other && same(a, b))
        }
        _ => a == b,
    }
}
