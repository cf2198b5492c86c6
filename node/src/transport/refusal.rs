//! Connections that are turned away before the service hears of them, and what they are told.

use wire::codec::Codec;

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
            Refusal::Capacity => "Server at maximum capacity",
            Refusal::PlaintextRemote => {
                "Unencrypted connections from other machines are refused; start the node with --plaintext any"
            }
            Refusal::PlaintextOff => "Unencrypted connections are refused; start the node with --plaintext any",
        }
    }

    /// The refusal as one message: `{status: "error", message: ...}`, the shape of a failed handshake.
    pub(super) fn encode(self, codec: Codec) -> Vec<u8> {
        let message = self.text();
        match codec {
            Codec::Json => format!(r#"{{"status": "error", "message": "{message}"}}"#).into_bytes(),
            Codec::Samira1 => {
                let mut out = vec![0x07, 0, 0, 0, 2];
                for (key, value) in [("status", "error"), ("message", message)] {
                    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
                    out.extend_from_slice(key.as_bytes());
                    out.push(0x01);
                    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                    out.extend_from_slice(value.as_bytes());
                }
                out
            }
        }
    }
}
