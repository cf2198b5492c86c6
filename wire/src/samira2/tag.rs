//! The first byte of every SAMIRA/2 value. Numbers are never reused; those that are not listed are refused, so that a later
//! version may give them a meaning.
//!
//! Every value has exactly one form, the shortest. Where one range ends the next begins: what a longer form counts from is
//! the first number that no shorter one has.

/// `00` to `3f`: the integer itself.
pub const SMALL_INTEGER_MAX: u8 = 0x3f;
/// `40` to `7f`: text of 0 to 63 bytes, which follow as UTF-8.
pub const SHORT_TEXT: u8 = 0x40;
/// `80` to `8f`: array of 0 to 15 items, which follow.
pub const SHORT_ARRAY: u8 = 0x80;
/// `90` to `9f`: dictionary of 0 to 15 pairs, which follow: key and value, see [`super::keys`].
pub const SHORT_DICTIONARY: u8 = 0x90;
/// Varint `n`, then `16 + n` items.
pub const ARRAY: u8 = 0xa0;
/// Varint `n`, then `16 + n` pairs.
pub const DICTIONARY: u8 = 0xa1;
/// Varint `n`, then `64 + n` bytes of UTF-8.
pub const TEXT: u8 = 0xa2;
/// Varint `n`, then `n` bytes.
pub const BYTES: u8 = 0xa3;
/// Nothing follows.
pub const FALSE: u8 = 0xa4;
/// Nothing follows.
pub const TRUE: u8 = 0xa5;
/// Nothing follows.
pub const NULL: u8 = 0xa6;
/// IEEE 754 double, big-endian.
pub const FLOAT: u8 = 0xa7;
/// Varint `n`: the integer `-1 - n`, down to that of 64 bits.
pub const NEGATIVE_INTEGER: u8 = 0xa8;
/// Varint `n`: the integer [`INTEGER_BASE`]` + n`, up to that of 64 bits.
pub const INTEGER: u8 = 0xa9;
/// `b0` to `bf`: 4 bits here and one byte behind, big-endian: the integer [`INTEGER_12_BASE`] plus that.
pub const INTEGER_12: u8 = 0xb0;
/// `c0` to `cf`: 4 bits here and two bytes behind: the integer [`INTEGER_20_BASE`] plus that.
pub const INTEGER_20: u8 = 0xc0;
/// `d0` to `df`: 4 bits here and three bytes behind: the integer [`INTEGER_28_BASE`] plus that.
pub const INTEGER_28: u8 = 0xd0;

/// The first length that [`SHORT_TEXT`] has no tag for.
pub const TEXT_BASE: u64 = 64;
/// The first count that [`SHORT_ARRAY`] and [`SHORT_DICTIONARY`] have no tag for.
pub const COUNT_BASE: u64 = 16;
/// The first integer in 12 bits.
pub const INTEGER_12_BASE: u64 = SMALL_INTEGER_MAX as u64 + 1;
/// The first integer in 20 bits.
pub const INTEGER_20_BASE: u64 = INTEGER_12_BASE + (1 << 12);
/// The first integer in 28 bits.
pub const INTEGER_28_BASE: u64 = INTEGER_20_BASE + (1 << 20);
/// The first integer as a varint.
pub const INTEGER_BASE: u64 = INTEGER_28_BASE + (1 << 28);

/// What a value that begins with `tag` is, in words; `None` for a reserved one.
#[must_use]
pub const fn describe(tag: u8) -> Option<&'static str> {
    Some(match tag {
        0..=0x3f | INTEGER_12..=0xdf | NEGATIVE_INTEGER | INTEGER => "integer",
        SHORT_TEXT..=0x7f | TEXT => "text",
        SHORT_ARRAY..=0x8f | ARRAY => "array",
        SHORT_DICTIONARY..=0x9f | DICTIONARY => "dictionary",
        BYTES => "bytes",
        FALSE | TRUE => "boolean",
        NULL => "null",
        FLOAT => "float",
        _ => return None,
    })
}
