//! Who is calling: the first bytes of a connection tell, once and for all, and once more inside TLS.
//!
//! | first bytes | dialect |
//! |---|---|
//! | `7b`, or spacing | JSON: an object |
//! | `07` | SAMIRA/1: a dictionary |
//! | `16` | TLS: a handshake record; what is inside is sniffed once more |
//! | `a1` | another node that wants to notice when this one dies ([`WATCH_PREFACE`]) |
//! | `a2 53 4d 32` | SAMIRA/2 ([`samira2::PREFACE`]); frames follow |
//! | `50 52 49 20` | HTTP/2 (`PRI `), and on it gRPC; in TLS it is asked for by name (ALPN `h2`) |
//!
//! Everything else is refused: so are TLS and nodes inside TLS, and HTTP/2 in TLS that was not asked for by name.

use wire::codec::Codec;
use wire::limits::WATCH_PREFACE;
use wire::samira2;

/// First byte of TLS: the content type of a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// First bytes of HTTP/2 whose client knows that the server speaks it (RFC 9113, 3.4).
const HTTP2: [u8; 4] = *b"PRI ";

/// Where bytes were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// On the socket.
    Outside,
    /// Within TLS.
    Inside {
        /// The client has asked for our own dialect by name, and so must not speak the original's.
        own_dialect: bool,
    },
}

/// What the first bytes say. All but those of SAMIRA/2 are already part of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// This is what it speaks.
    Codec(Codec),
    /// TLS begins.
    Tls,
    /// HTTP/2 begins.
    Http2,
    /// A node that says nothing more and waits for the connection to break.
    Watcher,
    /// So far it may become several things.
    NeedMore,
    /// Nobody we know.
    Refused,
}

/// Looks at everything a connection has sent so far. One byte is enough for all but SAMIRA/2 and HTTP/2.
pub(super) fn sniff(bytes: &[u8], layer: Layer) -> Sniffed {
    match (bytes.first(), layer) {
        (None, _) => Sniffed::NeedMore,
        (Some(&WATCH_PREFACE), Layer::Outside) => Sniffed::Watcher,
        (Some(&TLS_HANDSHAKE), Layer::Outside) => Sniffed::Tls,
        (Some(b'P'), Layer::Outside) if bytes.starts_with(&HTTP2) => Sniffed::Http2,
        (Some(b'P'), Layer::Outside) if HTTP2.starts_with(bytes) => Sniffed::NeedMore,
        (Some(&first), _) => match Codec::sniff(first) {
            Some(Codec::Samira2) => match samira2::strip_preface(bytes) {
                Ok(Some(_)) => Sniffed::Codec(Codec::Samira2),
                Ok(None) => Sniffed::NeedMore,
                Err(_) => Sniffed::Refused,
            },
            // Which dialect an object of JSON belongs to is in its keys.
            Some(Codec::Samira1) if layer == (Layer::Inside { own_dialect: true }) => Sniffed::Refused,
            Some(codec) => Sniffed::Codec(codec),
            None => Sniffed::Refused,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: Layer = Layer::Inside { own_dialect: false };
    const BY_NAME: Layer = Layer::Inside { own_dialect: true };

    #[test]
    fn first_bytes_decide() {
        let check = |bytes: &[u8], expected: [Sniffed; 3]| {
            assert_eq!([Layer::Outside, INSIDE, BY_NAME].map(|layer| sniff(bytes, layer)), expected, "{bytes:02x?}");
        };
        check(b"", [Sniffed::NeedMore; 3]);
        for bytes in [b"{".as_slice(), b"{\"client_id\"", b" \n{"] {
            check(bytes, [Sniffed::Codec(Codec::Json); 3]);
        }
        for bytes in [&[0x07][..], &[0x07, 0, 0, 0, 2]] {
            let samira = Sniffed::Codec(Codec::Samira1);
            check(bytes, [samira, samira, Sniffed::Refused]);
        }
        for length in 1..4 {
            check(&samira2::PREFACE[..length], [Sniffed::NeedMore; 3]);
            let mut wrong = samira2::PREFACE;
            wrong[length] ^= 1;
            check(&wrong[..=length], [Sniffed::Refused; 3]);
        }
        check(&samira2::PREFACE, [Sniffed::Codec(Codec::Samira2); 3]);
        check(b"\xa2SM2\x01\x00", [Sniffed::Codec(Codec::Samira2); 3]);
        check(&[WATCH_PREFACE], [Sniffed::Watcher, Sniffed::Refused, Sniffed::Refused]);
        check(&[0x16, 3, 1], [Sniffed::Tls, Sniffed::Refused, Sniffed::Refused]);
        for length in 1..4 {
            check(&HTTP2[..length], [Sniffed::NeedMore, Sniffed::Refused, Sniffed::Refused]);
        }
        check(b"PRI * HTTP/2.0\r\n", [Sniffed::Http2, Sniffed::Refused, Sniffed::Refused]);
        check(b"POST / HTTP/1.1\r\n", [Sniffed::Refused; 3]);
    }

    #[test]
    fn every_other_first_byte_is_refused() {
        for byte in 0..=u8::MAX {
            if !b"{ \t\r\n\x07\x16\xa2P".contains(&byte) && byte != WATCH_PREFACE {
                for layer in [Layer::Outside, INSIDE, BY_NAME] {
                    assert_eq!(sniff(&[byte], layer), Sniffed::Refused, "{byte:#04x}");
                }
            }
        }
    }
}
