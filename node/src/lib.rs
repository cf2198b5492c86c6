//! The Samira server: chat service, consensus, storage and transport in one process.
//!
//! What it deliberately does not do: own a protocol (that is [`wire`]), decide elections (openraft does), or trust a client's
//! clock, name or count.
//!
//! Reading order:
//!
//! * [`run`]: a node's life in order, from data directory to clean stop.
//! * [`transport`], [`bridge`], [`service`]: a client's bytes become requests, requests become commands and queries.
//! * [`grpc`]: the same, for clients that speak gRPC.
//! * [`chat`], [`storage`]: the rules, and where their state lives.
//! * [`raft`], [`quic`], [`cluster`]: how several nodes agree, talk to each other, and come to know each other.
//! * [`admin`], [`report`], [`notice`], [`greeting`], [`config`], [`telemetry`], [`terminal`], [`signals`]: the
//!   operator's side.
//! * [`limits`], [`env`](mod@env): every bound and time with its reason; the only clock.
//!
//! | thread | owns | woken by |
//! |---|---|---|
//! | `transport` | client sockets | epoll |
//! | main | service, consensus, links | epoll, channels |
//! | `log`, `log-checkpoint` | `log.db` | channels |
//! | `apply` | `state.db` for writing | channel |
//! | `grpc` | connections that speak HTTP/2 | epoll, channels |
//! | `query-…` | `state.db` for reading | channel |
//! | `password` | Argon2id | channel |

// Both panic where nobody reads, or the disk behind is full: see `terminal`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod admin;
pub mod bridge;
pub mod chat;
pub mod cluster;
pub mod config;
pub mod env;
pub mod greeting;
pub mod grpc;
pub mod limits;
pub mod listen;
pub mod notice;
pub mod quic;
pub mod raft;
pub mod report;
pub mod run;
pub mod service;
pub mod signals;
pub mod storage;
pub mod telemetry;
pub mod terminal;
pub mod transport;
