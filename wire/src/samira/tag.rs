//! The first byte of every SAMIRA/1 value. The table is closed: the original knows no other tags.

/// `u32` byte length, UTF-8.
pub const TEXT: u8 = 0x01;
/// `i32`.
pub const INTEGER: u8 = 0x02;
/// IEEE 754 double.
pub const FLOAT: u8 = 0x03;
/// One byte: 0 is false, anything else true. Read, never written.
pub const BOOLEAN: u8 = 0x04;
/// Nothing follows.
pub const NULL: u8 = 0x05;
/// `u32` count, then as many values.
pub const ARRAY: u8 = 0x06;
/// `u32` count, then as many pairs: `u16` byte length of the key, the key as UTF-8 without a tag, a value.
pub const DICTIONARY: u8 = 0x07;
