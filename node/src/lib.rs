//! The Samira server.
pub mod limits;
pub mod quic;
