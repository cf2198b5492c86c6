//! Connections that are turned away before the service hears of them, or ended without it, and what they are told.

use wire::chat::event::{Bye, Event};
use wire::chat::{Code, FromNode};
use wire::codec::Codec;
use wire::legacy::reply::{HelloReply, Status};
use wire::legacy::text;

use super::connection::Why;

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
    /// dialect, or the event that ends a connection in ours. JSON is taken for the original's, before its first message
    /// is read there is no telling, and ends its line as in ours: its clients may read lines.
    pub(super) fn encode(self, codec: Codec) -> Vec<u8> {
        match codec {
            Codec::Json | Codec::Samira1 => {
                let mut out = Vec::new();
                codec
                    .encode_frame_to_vec(&HelloReply { status: Status::Error, message: self.text() }, &mut out)
                    .expect("a short text has a form in every codec");
                if codec == Codec::Json {
                    out.push(b'\n');
                }
                out
            }
            Codec::Json2 | Codec::Samira2 => encode_bye(codec, self.code(), self.text()),
        }
    }
}

fn encode_bye(codec: Codec, code: Code, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let event = FromNode::Event(Some(Event::Bye(Bye { code, text })));
    codec.encode_frame_to_vec(&event, &mut out).expect("a short text has a form in every codec");
    out
}

/// What a client of our own dialect is told when its connection ends. The original's dialect has no word for it: its
/// clients see the connection close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Farewell {
    code: Code,
    text: &'static str,
}

impl Farewell {
    /// Nothing for ends that the client has made, or has stopped listening for.
    pub(super) fn of(why: Why) -> Option<Self> {
        let (code, text) = match why {
            Why::Stopping => (Code::Stopping, "this server stops: go to another one"),
            Why::Silent => (Code::Silent, "nothing came from this client for too long"),
            Why::FrameTimeout => (Code::Silent, "a request from this client did not become whole in time"),
            Why::OutboxFull => (Code::Busy, "more waits for this client than may: it reads too slowly"),
            _ => return None,
        };
        Some(Farewell { code, text })
    }

    /// As one frame.
    pub(super) fn encode(self, codec: Codec) -> Vec<u8> {
        encode_bye(codec, self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_in_json_is_a_line() {
        for refusal in [Refusal::Capacity, Refusal::PlaintextRemote, Refusal::PlaintextOff] {
            for codec in [Codec::Json, Codec::Json2] {
                let mut bytes = refusal.encode(codec);
                assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert_eq!(bytes.pop(), Some(b'\n'));
            }
            // A line feed would be the beginning of another message there.
            assert_ne!(refusal.encode(Codec::Samira1).last(), Some(&b'\n'));
        }
    }
}
