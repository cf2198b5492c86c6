//! The Samira server.
pub mod bridge;
pub mod limits;
pub mod raft;
