//! The owner of quinn: authenticated links between the nodes of a cluster.
//!
//! * [`tls`]: who may talk to whom. Mutual TLS under the cluster's own CA; a second ALPN for newcomers, who have no
//!   certificate yet and may only ask to join.
//! * [`peer`]: one outgoing connection per peer, redialled in the background, with a few long-lived streams by purpose,
//!   so that a snapshot never delays a heartbeat.
//! * [`dial`]: names, and the addresses that they stand for, tried one shortly after the other.
//! * `places`: where a peer may be reached beside the address that is listed for it.
//! * [`endpoint`]: the UDP socket, incoming connections and their streams.
//! * [`mod@line`]: what is known of the line to a peer; [`congestion`]: how many bytes may be under way on it.
//! * [`lives`]: which process of a member speaks, before anything else is said.
//! * [`probe`]: the way back to a newcomer, tried before its code is used up.
//! * [`frame`]: a `u32` length and that many bytes.
//!
//! What the messages mean is not known here.

mod congestion;
pub mod dial;
pub mod endpoint;
pub mod frame;
pub mod line;
pub mod lives;
pub mod peer;
mod places;
pub mod probe;
pub mod tls;
