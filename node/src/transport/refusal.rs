//! Connections that are turned away before the service hears of them, and what they are told.

use wire::chat::event::{Bye, Event};
use wire::chat::{Code, FromNode};
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

    /// The same as a number.
    fn code(self) -> Code {
        match self {
            Refusal::Capacity => Code::Busy,
            Refusal::PlaintextRemote | Refusal::PlaintextOff => Code::PlaintextRefused,
        }
    }

    /// The refusal as one frame: `{status: "error", message: ...}`, the shape of a failed handshake in the original's
    /// dialect, or the event that ends a connection in ours. JSON is taken for the original's: before its first message
    /// is read there is no telling.
    pub(super) fn encode(self, codec: Codec) -> Vec<u8> {
        let mut out = Vec::new();
        let encoded = match codec {
            Codec::Json | Codec::Samira1 => {
                codec.encode_frame_to_vec(&HelloReply { status: Status::Error, message: self.text() }, &mut out)
            }
            Codec::Json2 | Codec::Samira2 => {
                let bye = Bye { code: self.code(), text: self.text() };
                codec.encode_frame_to_vec(&FromNode::Event(Some(Event::Bye(bye))), &mut out)
            }
        };
        encoded.expect("a short text has a form in every codec");
        out
    }
}
