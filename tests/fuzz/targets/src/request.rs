//! What holds for requests in both codecs of the original's dialect, and for the messages of our own.

use serde::Serialize;
use wire::DecodeError;
use wire::chat::{FromClient, FromNode};
use wire::codec::Codec;
use wire::frame::{Splitter, body};

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

/// Decodes `message` as one of a client and as one of a node, in our own dialect. What decodes can be written in either
/// codec, and says the same in both.
pub(crate) fn check_chat(codec: Codec, message: &[u8]) {
    macro_rules! check {
        ($kind:ty) => {
            match codec.decode::<$kind>(&mut message.to_vec()) {
                Ok(said) => {
                    for codec in Codec::CHAT {
                        let mut frame = framed(codec, &said);
                        assert_eq!(codec.decode::<$kind>(body(codec, &mut frame)).as_ref(), Ok(&said), "{codec:?}");
                    }
                }
                Err(error) => placed(error, message),
            }
        };
    }
    check!(FromClient<'_>);
    check!(FromNode<'_>);
}

/// Encodes a message that was decoded before as a frame, which a splitter finds whole.
fn framed<T: Serialize + ?Sized>(codec: Codec, message: &T) -> Vec<u8> {
    let mut frame = Vec::new();
    codec.encode_frame_to_vec(message, &mut frame).expect("what was decoded has a form");
    let end = Splitter::of_node(codec).push(&frame).expect("we wrote it").expect("it is whole");
    assert!(frame[end..].trim_ascii().is_empty(), "the message ends at {end}");
    frame
}

/// An error points into what was decoded.
pub(crate) fn placed(error: DecodeError, bytes: &[u8]) {
    assert!(error.at <= bytes.len(), "{error} in {} bytes", bytes.len());
}
