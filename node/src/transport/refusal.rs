//! Connections that are turned away before the service hears of them, and what they are told.

use wire::codec::Codec;
use wire::legacy::reply::{HelloReply, Status};
use wire::legacy::text;

/// Why a connection will not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As many connections as configured are open.
    Capacity,
    /// Not encrypted, not from this machine, and the configuration does not allow that.
    PlaintextRemote,
    /// Not encrypted, and the configuration never allows that.
    PlaintextOff,
}

impl Refusal {
    /// What the client is told. The first text is the original server's, which its clients may look for.
    pub(super) fn text(self) -> &'static str {
        match self {
            Refusal::Capacity => text::AT_CAPACITY,
            Refusal::PlaintextRemote => text::PLAINTEXT_REMOTE,
            Refusal::PlaintextOff => text::PLAINTEXT_OFF,
        }
    }

    /// The refusal as one message: `{status: "error", message: ...}`, the shape of a failed handshake.
    pub(super) fn encode(self, codec: Codec) -> Vec<u8> {
        let mut out = Vec::new();
        codec
            .encode_to_vec(&HelloReply { status: Status::Error, message: self.text() }, &mut out)
            .expect("a short text has a form in every codec");
        out
    }
}
