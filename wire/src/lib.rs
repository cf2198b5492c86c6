//! Samira's protocol stack: framings, typed messages and the messages between nodes.
//!
//! This crate opens no socket and reads no clock. Bytes come in as slices, bytes go out into the caller's
//! buffer, and without the `alloc` feature nothing here allocates. Whatever a peer sends, nothing here panics, and
//! no work or memory grows past a bound in [`limits`].
//!
//! Reading order:
//!
//! * [`limits`]: every bound a peer can run into, each with its reason.
//! * [`error`]: what can be wrong with bytes, and where.
//! * [`codec`]: the choice between JSON and SAMIRA, and the door to all of them.
//! * [`frame`]: where does a message end?
//! * [`legacy`]: what clients of the original system say and hear: handshake, requests, replies, texts.
//! * [`chat`]: what clients of our own dialect say and hear.
//! * [`session`]: what happens on a connection in it, on both sides; [`time`] is what callers tell it.
//! * [`json`], [`samira`], [`samira2`]: the formats, as serde formats.
//! * `replication` (feature `alloc`): what the nodes of a cluster store and say to each other.
//! * `names` (feature `names`): what may be a name, and which names are the same.
//! * `dump` (feature `dump`): annotated hexdumps.
//!
//! The bytes of every message stand in the goldens (`snapshots/wire/`).
//!
//! # A server's side of one connection
//!
//! ```
//! use wire::codec::Codec;
//! use wire::frame::Splitter;
//! use wire::legacy::Request;
//! use wire::legacy::reply::{Outcome, StartChatReply};
//! use wire::legacy::text;
//!
//! // Whatever has arrived so far: a request and the beginning of another.
//! let mut received = br#"{"action": "start_chat", "current_user": "al", "other_user": "b\u00f6b"}{"act"#.to_vec();
//! let codec = Codec::sniff(received[0]).expect("a client we know");
//! let mut splitter = Splitter::new(codec);
//!
//! let len = splitter.push(&received)?.expect("a whole message");
//! let mut reply = [0; 2048];
//! let written = match codec.decode_request(&mut received[..len])? {
//!     Request::StartChat { current_user, other_user } => {
//!         let chat_id = format!("{}_{}", current_user.text(), other_user.text());
//!         codec.encode(&StartChatReply { success: true, chat_id: &*chat_id, error_message: "" }, &mut reply)?
//!     }
//!     _ => codec.encode(&Outcome::refused(text::INVALID_ACTION), &mut reply)?,
//! };
//! assert_eq!(&reply[..written], br#"{"success": true, "chat_id": "al_b\u00f6b", "error_message": ""}"#);
//!
//! received.drain(..len);
//! assert_eq!(splitter.push(&received)?, None, "the other request has not ended");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod bytes;
pub mod chat;
pub mod codec;
#[cfg(feature = "dump")]
pub mod dump;
mod encode;
pub mod error;
mod float;
pub mod frame;
pub mod json;
pub mod legacy;
pub mod limits;
#[cfg(feature = "names")]
pub mod names;
#[cfg(feature = "alloc")]
pub mod replication;
pub mod samira;
pub mod samira2;
pub mod session;
pub mod text;
pub mod time;
mod varint;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
