//! SAMIRA/2: messages of our own dialect, and any value.

use serde::de::IgnoredAny;
use serde_json::Value;
use wire::codec::Codec;
use wire::{frame, samira2};

use crate::{request, seeds};

/// Decodes the input, the body of a frame, as messages and as any value.
pub fn run(data: &[u8]) {
    request::check_chat(Codec::Samira2, data);
    let skipped = samira2::from_slice::<IgnoredAny>(data);
    match samira2::from_slice::<Value>(data) {
        Ok(value) => {
            assert!(skipped.is_ok(), "who skips it must find no fault");
            let bytes = request::encode(Codec::Samira2, &value);
            let again: Value = samira2::from_slice(&bytes).expect("we wrote it");
            assert_eq!(again, value);
            assert_eq!(request::encode(Codec::Samira2, &again), bytes, "one form");
        }
        Err(error) => request::placed(error, data),
    }
}

/// The body of every frame of our own dialect.
pub fn seeds() -> Vec<Vec<u8>> {
    let frames = seeds::client_bytes(Codec::Samira2).frames;
    frames.into_iter().map(|mut bytes| frame::body(Codec::Samira2, &mut bytes).to_vec()).collect()
}
