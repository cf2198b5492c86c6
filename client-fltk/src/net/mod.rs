//! From an address to a conversation with a node: `tls` says who may be trusted, `socket` moves bytes, [`driver`] is the
//! thread that owns both.

pub mod driver;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;
