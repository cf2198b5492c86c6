//! Who is calling: the first bytes of a connection tell, once and for all.
//!
//! Everything this server speaks to a client is one row of [`DIALECTS`]. Dialects that are known but not served yet
//! are refused by not being there; their rows will be:
//!
//! | first bytes | dialect |
//! |---|---|
//! | `16` | TLS; what is inside is sniffed once more, and TLS inside TLS refused |
//! | `a2` | preface of SAMIRA/2 |
//! | `PRI ` | HTTP/2, for gRPC |

use wire::codec::Codec;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// This is what it speaks.
    Codec(Codec),
    /// So far it may become several things.
    NeedMore,
    /// Nobody we know.
    Refused,
}

/// First bytes and what they mean. No row may be a prefix of another.
const DIALECTS: [(&[u8], Codec); 6] = [
    (b"{", Codec::Json),
    // Text before the brace is only white space, and hand-written clients do send some.
    (b" ", Codec::Json),
    (b"\t", Codec::Json),
    (b"\r", Codec::Json),
    (b"\n", Codec::Json),
    // The tag of a dictionary.
    (&[0x07], Codec::Samira1),
];

/// Looks at everything a connection has sent so far.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    let mut possible = false;
    for (first, codec) in DIALECTS {
        if bytes.starts_with(first) {
            return Sniffed::Codec(codec);
        }
        possible |= first.starts_with(bytes);
    }
    if possible { Sniffed::NeedMore } else { Sniffed::Refused }
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
        check(&[0x07], Sniffed::Codec(Codec::Samira1));
        check(&[0x07, 0, 0, 0, 2], Sniffed::Codec(Codec::Samira1));
    }

    #[test]
    fn every_other_first_byte_is_refused() {
        for byte in 0..=u8::MAX {
            if !b"{ \t\r\n\x07".contains(&byte) {
                assert_eq!(sniff(&[byte]), Sniffed::Refused, "{byte:#04x}");
            }
        }
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n"), Sniffed::Refused);
    }

    #[test]
    fn rows_are_prefix_free() {
        for (i, (a, _)) in DIALECTS.iter().enumerate() {
            for (b, _) in &DIALECTS[i + 1..] {
                assert!(!a.starts_with(b) && !b.starts_with(a), "{a:02x?} {b:02x?}");
            }
        }
    }
}
