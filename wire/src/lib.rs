//! Samira's protocol stack: framings, typed messages and the messages between nodes.
//!
//! This crate opens no socket and reads no clock. Bytes come in as slices, bytes go out into the caller's
//! buffer, and without the `alloc` feature nothing here allocates.
//!
//! Reading order:
//!
//! * [`limits`]: every bound a peer can run into, each with its reason.
//! * [`error`]: what can be wrong with bytes, and where.
//! * [`codec`]: the choice between JSON and SAMIRA/1, and the door to both.
//! * [`frame`]: where does a message end?
//! * [`legacy`]: what clients of the original system say and hear.
//! * [`json`], [`samira`]: the two formats.
//! * [`replication`] (feature `alloc`): what the nodes of a cluster store and say to each other.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod bytes;
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
#[cfg(feature = "alloc")]
pub mod replication;
pub mod samira;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
