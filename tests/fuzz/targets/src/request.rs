//! What holds for requests in both codecs.

use serde::Serialize;
use wire::DecodeError;
use wire::codec::Codec;

/// Encodes a value that was decoded before, which must work.
pub(crate) fn encode<T: Serialize + ?Sized>(codec: Codec, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_to_vec(value, &mut bytes).expect("what was decoded has a form");
    assert_eq!(codec.encoded_len(value), Ok(bytes.len()), "the size known beforehand");
    bytes
}

/// Decodes `frame` as a handshake and as a request. What decodes is written again, and from then on its bytes stay
/// the same: values are compared as bytes, because NaN is not equal to itself.
pub(crate) fn check(codec: Codec, frame: &[u8]) {
    match codec.decode_hello(&mut frame.to_vec()) {
        Ok(hello) => {
            let bytes = encode(codec, &hello);
            let mut again = bytes.clone();
            assert_eq!(encode(codec, &codec.decode_hello(&mut again).expect("we wrote it")), bytes);
        }
        Err(error) => placed(error, frame),
    }
    match codec.decode_request(&mut frame.to_vec()) {
        // What a wrong value was is forgotten, so that such a request cannot be written again.
        Ok(request) if request.wrong_key().is_some() => {}
        Ok(request) => {
            let bytes = encode(codec, &request);
            let mut again = bytes.clone();
            let repeated = codec.decode_request(&mut again).expect("we wrote it");
            assert_eq!(repeated.action(), request.action());
            assert_eq!(encode(codec, &repeated), bytes);
        }
        Err(error) => placed(error, frame),
    }
}

/// An error points into what was decoded.
pub(crate) fn placed(error: DecodeError, bytes: &[u8]) {
    assert!(error.at <= bytes.len(), "{error} in {} bytes", bytes.len());
}
