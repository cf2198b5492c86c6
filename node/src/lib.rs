//! The Samira server.
pub mod cluster;
pub mod limits;
pub mod quic;
