//! From an address to a conversation with a node: `tls` says who may be trusted, `socket` moves bytes, [`driver`] is the
//! thread that owns both; [`handover`] lets other programs send with the profile that it has.

pub mod driver;
pub mod handover;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;
