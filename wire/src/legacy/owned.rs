//! Copies that outlive the receive buffer, in `heapless` types: for devices that have no allocator.
//!
//! `TEXT` is the length of the longest text in bytes and `LIST` the number of entries in the longest list that the
//! device has room for; a reply beyond that is a decoding error. [`crate::limits`] has what a server can send:
//! a reply is never longer than [`crate::limits::LEGACY_REPLY_BYTES_MAX`].
//!
//! ```
//! # use wire::{codec::Codec, legacy::{self, owned}};
//! let mut receive = *br#"{"success": true, "users": ["alice", "b\u00f6b"], "error_message": ""}"#;
//! let reply: owned::UsersReply<8, 32> = Codec::Json.decode(&mut receive).unwrap();
//! receive.fill(0);
//! assert_eq!(reply.users, ["alice", "böb"]);
//!
//! let text = String::from("alice");
//! let pending = owned::Request::<64>::try_from(&legacy::Request::GetChats { user_id: text.as_str().into() }).unwrap();
//! drop(text);
//! assert!(pending.as_request() == legacy::Request::GetChats { user_id: "alice".into() });
//! ```

use core::fmt;

use heapless::{String, Vec};

use super::reply;
use crate::error::EncodeError;
use crate::samira;

/// [`reply::HelloReply`].
pub type HelloReply<const TEXT: usize> = reply::HelloReply<String<TEXT>>;
/// [`reply::Outcome`].
pub type Outcome<const TEXT: usize> = reply::Outcome<String<TEXT>>;
/// [`reply::LoginReply`].
pub type LoginReply<const TEXT: usize> = reply::LoginReply<String<TEXT>>;
/// [`reply::ChatsReply`].
pub type ChatsReply<const LIST: usize, const TEXT: usize> =
    reply::ChatsReply<Vec<reply::Chat<String<TEXT>>, LIST>, String<TEXT>>;
/// [`reply::UsersReply`].
pub type UsersReply<const LIST: usize, const TEXT: usize> = reply::UsersReply<Vec<String<TEXT>, LIST>, String<TEXT>>;
/// [`reply::LimitReply`].
pub type LimitReply<const TEXT: usize> = reply::LimitReply<String<TEXT>, String<TEXT>>;
/// [`reply::StartChatReply`].
pub type StartChatReply<const TEXT: usize> = reply::StartChatReply<String<TEXT>>;
/// [`reply::MessagesReply`].
pub type MessagesReply<const LIST: usize, const TEXT: usize> =
    reply::MessagesReply<Vec<reply::Message<String<TEXT>>, LIST>, String<TEXT>>;

/// A request that waits, for a link or for its answer: its SAMIRA/1 form in at most `BYTES` bytes.
///
/// Encoded rather than as an enum of strings: then it takes the room its texts take, not three or four times the
/// room of the longest text that any request could have.
#[derive(Clone, PartialEq, Eq)]
pub struct Request<const BYTES: usize> {
    /// Always what [`samira::to_slice`] made of a request.
    frame: Vec<u8, BYTES>,
}

impl<const BYTES: usize> Request<BYTES> {
    /// The request.
    #[must_use]
    pub fn as_request(&self) -> super::Request<'_> {
        samira::from_slice(&self.frame).expect("every request that can be encoded can be decoded")
    }
}

impl<const BYTES: usize> TryFrom<&super::Request<'_>> for Request<BYTES> {
    type Error = EncodeError;

    /// Copies a request.
    ///
    /// # Errors
    /// It is longer than `BYTES`, or SAMIRA/1 has no form for it.
    fn try_from(request: &super::Request<'_>) -> Result<Self, EncodeError> {
        let mut frame = Vec::from_array([0; BYTES]);
        let len = samira::to_slice(request, &mut frame)?;
        frame.truncate(len);
        Ok(Self { frame })
    }
}

impl<const BYTES: usize> fmt::Debug for Request<BYTES> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_request().fmt(formatter)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::legacy::reply::Message;

    #[test]
    fn replies_outlive_their_buffer() {
        for codec in Codec::LEGACY {
            let message = Message {
                id: 7,
                sender: "alice",
                receiver: "bob",
                content: "hé",
                timestamp: "2026-11-22T12:07:55.726108",
                read: 0,
            };
            let sent =
                reply::MessagesReply { success: Some(true), messages: [message; 2], error_message: "", stale: true };
            let mut buffer = [0; 512];
            let len = codec.encode(&sent, &mut buffer).expect("it fits");
            let kept: MessagesReply<2, 32> = codec.decode(&mut buffer[..len]).expect("it fits");
            assert_eq!((kept.messages.len(), kept.stale), (2, true));
            assert_eq!(kept.messages[1].content, "hé");

            let len = codec.encode(&sent, &mut buffer).expect("it fits");
            assert!(codec.decode::<MessagesReply<1, 32>>(&mut buffer[..len]).is_err(), "a list too long");
            let len = codec.encode(&sent, &mut buffer).expect("it fits");
            assert!(codec.decode::<MessagesReply<2, 25>>(&mut buffer[..len]).is_err(), "a text too long");
        }
    }

    #[test]
    fn requests_take_the_room_they_need() {
        let request = crate::legacy::Request::GetMessages { chat_id: "alice_bob".into(), current_user: "bob".into() };
        let kept = Request::<75>::try_from(&request).expect("75 bytes, as the goldens say");
        assert!(kept.as_request() == request);
        assert_eq!(Request::<74>::try_from(&request), Err(EncodeError::BufferFull));
        assert_eq!(std::format!("{kept:?}"), "Request(\"get_messages\")");
    }
}
