//! The Samira server.
pub mod bridge;
pub mod chat;
pub mod cluster;
pub mod config;
pub mod env;
pub mod limits;
pub mod quic;
pub mod raft;
pub mod storage;
pub mod transport;
