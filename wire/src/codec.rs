//! The one place where a connection's codec is chosen, and the one door to all of them.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::legacy::{Hello, Request};
use crate::limits::SAMIRA2_PREFACE;
use crate::samira::tag;
use crate::{json, samira, samira2};

/// What a client speaks. Decided once per connection, by its first bytes.
///
/// The message is what is encoded and decoded here; around it stands what shows its end, if its form does not: a length
/// before one in SAMIRA/2, a line feed behind one in JSON/2, where people may want to read lines. Together they are a
/// frame: [`Codec::encode_frame_to_vec`] makes one, [`crate::frame`] takes it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON objects, one behind the other: the original's dialect.
    Json,
    /// SAMIRA/1 dictionaries, one behind the other: the original's dialect.
    Samira1,
    /// JSON objects, one in a line: our own dialect. Reads as [`Codec::Json`] does.
    Json2,
    /// SAMIRA/2 dictionaries, behind their lengths: our own dialect.
    Samira2,
}

impl Codec {
    /// Those of the original's dialect.
    pub const LEGACY: [Self; 2] = [Self::Json, Self::Samira1];

    /// Those of our own dialect.
    pub const CHAT: [Self; 2] = [Self::Json2, Self::Samira2];

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Json, Self::Samira1, Self::Json2, Self::Samira2];

    /// Which codec a stream that begins with `first` speaks, if any. Both dialects' JSON begins alike and is
    /// [`Codec::Json`] here: what tells them apart is the first message, which in ours has a `hello`. In SAMIRA/2 a
    /// [`samira2::PREFACE`] comes before the first frame.
    #[must_use]
    pub const fn sniff(first: u8) -> Option<Self> {
        match first {
            b'{' => Some(Self::Json),
            tag::DICTIONARY => Some(Self::Samira1),
            SAMIRA2_PREFACE => Some(Self::Samira2),
            _ if json::is_spacing(first) => Some(Self::Json),
            _ => None,
        }
    }

    /// Decodes one whole message. Text is borrowed; JSON is unescaped in place, so that `message` cannot be decoded a
    /// second time.
    ///
    /// # Errors
    /// Malformed bytes, bytes left over, a bound exceeded, or a value of another type than `T` takes.
    pub fn decode<'a, T: Deserialize<'a>>(self, message: &'a mut [u8]) -> Result<T, DecodeError> {
        match self {
            Self::Json | Self::Json2 => json::from_slice(message),
            Self::Samira1 => samira::from_slice(message),
            Self::Samira2 => samira2::from_slice(message),
        }
    }

    /// Decodes the first message of a connection in the original's dialect.
    ///
    /// # Errors
    /// As [`Codec::decode`]. A message without a usable `client_id` is no error here; see [`Hello::client_id`].
    pub fn decode_hello(self, frame: &mut [u8]) -> Result<Hello<'_>, DecodeError> {
        self.decode(frame)
    }

    /// Decodes any later message of a client in the original's dialect.
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
            Self::Json2 => json::compact::to_slice(value, out),
            Self::Samira2 => samira2::to_slice(value, out),
        }
    }

    /// Writes the frame of `value` to the front of `out` and returns how many bytes it took.
    ///
    /// # Errors
    /// As [`Codec::encode`].
    pub fn encode_frame<T: Serialize + ?Sized>(self, value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
        match self {
            Self::Json | Self::Samira1 => self.encode(value, out),
            Self::Json2 => {
                let len = self.encode(value, out)?;
                *out.get_mut(len).ok_or(EncodeError::BufferFull)? = b'\n';
                Ok(len + 1)
            }
            Self::Samira2 => samira2::frame_to_slice(value, out),
        }
    }

    /// Appends the frame of `value` to `out`. On an error `out` is as long as it was before.
    ///
    /// # Errors
    /// A value the codec has no form for.
    #[cfg(feature = "alloc")]
    pub fn encode_frame_to_vec<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Json | Self::Samira1 => self.encode_to_vec(value, out),
            Self::Json2 => {
                self.encode_to_vec(value, out)?;
                out.push(b'\n');
                Ok(())
            }
            Self::Samira2 => samira2::frame_to_vec(value, out),
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
            Self::Json2 => json::compact::to_vec(value, out),
            Self::Samira2 => samira2::to_vec(value, out),
        }
    }

    /// How many bytes `value` takes. Also for parts of a message, except in SAMIRA/2: a list of items takes what an empty
    /// list takes, plus what each item takes, plus [`Codec::separator_len`] between two of them.
    ///
    /// # Errors
    /// A value the codec has no form for.
    pub fn encoded_len<T: Serialize + ?Sized>(self, value: &T) -> Result<usize, EncodeError> {
        match self {
            Self::Json => json::encoded_len(value),
            Self::Samira1 => samira::encoded_len(value),
            Self::Json2 => json::compact::encoded_len(value),
            Self::Samira2 => samira2::encoded_len(value),
        }
    }

    /// Bytes between two items of a list.
    #[must_use]
    pub const fn separator_len(self) -> usize {
        match self {
            Self::Json => json::ITEM_SEPARATOR_LEN,
            Self::Json2 => json::compact::ITEM_SEPARATOR_LEN,
            Self::Samira1 | Self::Samira2 => 0,
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
                0xa2 => Some(Codec::Samira2),
                _ => None,
            };
            assert_eq!(Codec::sniff(first), expected, "{first:#04x}");
        }
    }

    #[test]
    fn a_list_is_as_long_as_its_parts() {
        let chat = Chat { chat_id: "a_b", other_user: "bé", unread_count: 12 };
        for codec in [Codec::Json, Codec::Samira1, Codec::Json2] {
            let empty = codec.encoded_len(&[(); 0]).expect("a form");
            let item = codec.encoded_len(&chat).expect("a form");
            for count in 1..4 {
                let whole = codec.encoded_len(&[chat; 4][..count]).expect("a form");
                assert_eq!(whole, empty + count * item + (count - 1) * codec.separator_len());
            }
        }
    }
}
