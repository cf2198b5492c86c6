//! What clients of the original system say and hear: a handshake, then requests and replies in turn.
//!
//! * [`Hello`] and [`HelloReply`](reply::HelloReply): the first message of a connection and its answer.
//! * [`request`]: the fourteen actions, read as leniently as the original read them.
//! * [`field`]: what such a request may hold where a value is expected.
//! * [`reply`]: the answers, keys in the original's order.
//! * [`text`]: every sentence such a client may be told.
//! * [`owned`]: copies that outlive the receive buffer, for devices without an allocator.

pub mod field;
mod hello;
pub mod owned;
pub mod reply;
pub mod request;
pub mod text;

pub use hello::Hello;
pub use request::Request;
