//! Who is calling: the first bytes of a connection tell, once and for all.
//!
//! [`Codec::sniff`] knows the codecs; [`WATCH_PREFACE`] is another node that wants to notice when this one dies. Dialects that are known but not served yet are refused here by having no arm;
//! they will be told by:
//!
//! | first bytes | dialect |
//! |---|---|
//! | `16` | TLS; what is inside is sniffed once more, and TLS inside TLS refused |
//! | `a2` | preface of SAMIRA/2 |
//! | `PRI ` | HTTP/2, for gRPC |

use wire::codec::Codec;
use wire::limits::WATCH_PREFACE;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// This is what it speaks.
    Codec(Codec),
    /// A node that says nothing more and waits for the connection to break.
    Watcher,
    /// So far it may become several things.
    NeedMore,
    /// Nobody we know.
    Refused,
}

/// Looks at everything a connection has sent so far. One byte is enough for the codecs served today.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    match bytes.first() {
        None => Sniffed::NeedMore,
        Some(&WATCH_PREFACE) => Sniffed::Watcher,
        Some(&first) => match Codec::sniff(first) {
            Some(codec @ (Codec::Json | Codec::Samira1)) => Sniffed::Codec(codec),
            _ => Sniffed::Refused,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide() {
        let check = |bytes: &[u8], expected| assert_eq!(sniff(bytes), expected, "{bytes:02x?}");
        check(b"", Sniffed::NeedMore);
        check(b"{", Sniffed::Codec(Codec::Json));
        check(b"{\"client_id\"", Sniffed::Codec(Codec::Json));
        check(b" \n{", Sniffed::Codec(Codec::Json));
        check(&[WATCH_PREFACE], Sniffed::Watcher);
        check(&[0x07], Sniffed::Codec(Codec::Samira1));
        check(&[0x07, 0, 0, 0, 2], Sniffed::Codec(Codec::Samira1));
    }

    #[test]
    fn every_other_first_byte_is_refused() {
        for byte in 0..=u8::MAX {
            if !b"{ \t\r\n\x07".contains(&byte) && byte != WATCH_PREFACE {
                assert_eq!(sniff(&[byte]), Sniffed::Refused, "{byte:#04x}");
            }
        }
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n"), Sniffed::Refused);
    }
}
