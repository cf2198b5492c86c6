//! SAMIRA/1: requests, and any value.

use serde_json::Value;
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::limits::REQUEST_BYTES_MAX;
use wire::samira;

use crate::{request, seeds};

/// Decodes the input as a request and as any value.
pub fn run(data: &[u8]) {
    request::check(Codec::Samira1, data);
    match samira::from_slice::<Value>(data) {
        Ok(value) => {
            let bytes = request::encode(Codec::Samira1, &value);
            let again: Value = samira::from_slice(&bytes).expect("we wrote it");
            // Booleans are written as integers, so values may differ once; bytes never.
            assert_eq!(request::encode(Codec::Samira1, &again), bytes);
            if value.is_object() && data.len() <= REQUEST_BYTES_MAX {
                assert_eq!(Splitter::new(Codec::Samira1).push(data), Ok(Some(data.len())));
            }
        }
        Err(error) => request::placed(error, data),
    }
}

/// Every message clients sent or are sent.
pub fn seeds() -> Vec<Vec<u8>> {
    seeds::client_bytes(Codec::Samira1).frames
}
