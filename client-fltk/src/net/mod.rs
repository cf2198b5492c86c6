//! From an address to a conversation with a node.

pub mod tls;
