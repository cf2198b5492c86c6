//! What clients and nodes say to each other in the dialect of our own, carried by SAMIRA/2 or by JSON/2.
//!
//! A frame holds one message. A client sends [`Request`]s, each under an id of its choosing; the node sends one
//! [`Reply`] to each, in any order, and [`Event`]s that nobody asked for. The same types make the bytes of both
//! codecs; what a receiver does not know it skips, so keys may be added, and what equals its default is left out.
//!
//! Reading order:
//!
//! * [`request`], [`reply`], [`event`]: what can be asked, answered and pushed.
//! * [`item`]: what they are made of: messages, conversations, people, nodes.
//! * [`code`]: numbered reasons for refusals.
//! * [`frame`]: the envelope around them.
//! * [`list`]: lists, with and without an allocator.
//!
//! # Meaning
//!
//! *Order.* Messages of a conversation are numbered from 1, and the number is the order. Everything a user may come to
//! see (messages, deletions, marks, people) also has a place in one order over the whole cluster, its *change number*; a
//! device that has taken in everything up to a change number keeps that as its *cursor* and asks [`Request::Sync`] for
//! what came after it, on any node.
//!
//! *Writes exactly once.* A write carries `seq`, which the device counts densely from 1. A write may be sent again, on any
//! connection to any node, as often as needed: it has its effect once, and the reply is the same. A device sends its
//! writes in order and does not give a number to something else before the first was answered.
//!
//! *Unread.* A request hands over at most as many unread messages as the user's view limit says, oldest first. A
//! conversation with more of them is *behind*: new arrivals change its summary only, until [`Request::Next`] has fetched
//! the rest.

pub mod code;
pub mod event;
pub mod frame;
pub mod item;
pub mod list;
pub mod reply;
pub mod request;

pub use code::Code;
pub use event::Event;
pub use frame::{FromClient, FromNode};
pub use list::List;
pub use reply::Reply;
pub use request::Request;

/// Whether a value equals its default and is left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
