//! The one place where a connection's codec is chosen, and the one door to both.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::legacy::{Hello, Request};
use crate::samira::tag;
use crate::{json, samira};

/// What a client speaks. Decided once per connection, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON objects, one behind the other.
    Json,
    /// SAMIRA/1 dictionaries, one behind the other.
    Samira1,
}

impl Codec {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Json, Self::Samira1];

    /// Which codec a stream that begins with `first` speaks, if any.
    #[must_use]
    pub const fn sniff(first: u8) -> Option<Self> {
        match first {
            b'{' => Some(Self::Json),
            tag::DICTIONARY => Some(Self::Samira1),
            _ if json::is_spacing(first) => Some(Self::Json),
            _ => None,
        }
    }

    /// Decodes one whole message. Text is borrowed; JSON is unescaped in place, so that `frame` cannot be decoded a
    /// second time.
    ///
    /// # Errors
    /// Malformed bytes, bytes left over, a bound exceeded, or a value of another type than `T` takes.
    pub fn decode<'a, T: Deserialize<'a>>(self, frame: &'a mut [u8]) -> Result<T, DecodeError> {
        match self {
            Self::Json => json::from_slice(frame),
            Self::Samira1 => samira::from_slice(frame),
        }
    }

    /// Decodes the first message of a connection.
    ///
    /// # Errors
    /// As [`Codec::decode`]. A message without a usable `client_id` is no error here; see [`Hello::client_id`].
    pub fn decode_hello(self, frame: &mut [u8]) -> Result<Hello<'_>, DecodeError> {
        self.decode(frame)
    }

    /// Decodes any later message of a client.
    ///
    /// # Errors
    /// As [`Codec::decode`]. Keys of the wrong type are no error here; see [`Request::wrong_key`].
    pub fn decode_request(self, frame: &mut [u8]) -> Result<Request<'_>, DecodeError> {
        self.decode(frame)
    }

    /// Writes `value` to the front of `out` and returns how many bytes it took. The rest of `out` stays as it was.
    ///
    /// # Errors
    /// A buffer too small, or a value the codec has no form for.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
        match self {
            Self::Json => json::to_slice(value, out),
            Self::Samira1 => samira::to_slice(value, out),
        }
    }

    /// Appends `value` to `out`. On an error `out` is as long as it was before.
    ///
    /// # Errors
    /// A value the codec has no form for.
    #[cfg(feature = "alloc")]
    pub fn encode_to_vec<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Json => json::to_vec(value, out),
            Self::Samira1 => samira::to_vec(value, out),
        }
    }

    /// How many bytes `value` takes. Also for parts of a message: a list of items takes what an empty list takes, plus
    /// what each item takes, plus [`Codec::separator_len`] between two of them.
    ///
    /// # Errors
    /// A value the codec has no form for.
    pub fn encoded_len<T: Serialize + ?Sized>(self, value: &T) -> Result<usize, EncodeError> {
        match self {
            Self::Json => json::encoded_len(value),
            Self::Samira1 => samira::encoded_len(value),
        }
    }

    /// Bytes between two items of a list.
    #[must_use]
    pub const fn separator_len(self) -> usize {
        match self {
            Self::Json => json::ITEM_SEPARATOR.len(),
            Self::Samira1 => 0,
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::legacy::reply::Chat;

    #[test]
    fn the_first_byte_tells_the_codec() {
        for first in 0..=u8::MAX {
            let expected = match first {
                b'{' | b' ' | b'\t' | b'\r' | b'\n' => Some(Codec::Json),
                7 => Some(Codec::Samira1),
                _ => None,
            };
            assert_eq!(Codec::sniff(first), expected, "{first:#04x}");
        }
    }

    #[test]
    fn a_list_is_as_long_as_its_parts() {
        let chat = Chat { chat_id: "a_b", other_user: "bé", unread_count: 12 };
        for codec in Codec::ALL {
            let empty = codec.encoded_len(&[(); 0]).expect("a form");
            let item = codec.encoded_len(&chat).expect("a form");
            for count in 1..4 {
                let whole = codec.encoded_len(&[chat; 4][..count]).expect("a form");
                assert_eq!(whole, empty + count * item + (count - 1) * codec.separator_len());
            }
        }
    }
}
