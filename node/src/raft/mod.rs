//! The owner of openraft.

pub mod propose;
pub mod read;
