//! The Samira server.
pub mod admin;
pub mod bridge;
pub mod chat;
pub mod cluster;
pub mod config;
pub mod env;
pub mod greeting;
pub mod limits;
pub mod quic;
pub mod raft;
pub mod report;
pub mod run;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod transport;
