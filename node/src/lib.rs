//! The Samira server.
pub mod bridge;
pub mod cluster;
pub mod config;
pub mod env;
pub mod limits;
pub mod quic;
pub mod transport;
