//! From an address to a conversation with a node: `tls` says who may be trusted, `names` asks where a name is, `socket` moves
//! bytes, [`driver`] is the thread that owns all of them; [`handover`] lets other programs send with the profile that it has.

pub mod driver;
pub mod handover;
mod names;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;
