//! JSON text to values.

use serde::de::{
    self, DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;

/// Reads one value after the other from a slice, unescaping text where it stands.
#[derive(Debug)]
pub(super) struct Deserializer<'de> {
    /// What is not read yet. The bytes before belong to the texts that were borrowed from them.
    rest: &'de mut [u8],
    /// Offset of `rest` in the whole.
    at: usize,
    /// Containers around the place `at`; `depth <= DEPTH_MAX`.
    depth: usize,
}

impl<'de> Deserializer<'de> {
    pub(super) const fn new(bytes: &'de mut [u8]) -> Self {
        Self { rest: bytes, at: 0, depth: 0 }
    }

    /// Offset of the next byte.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Checks that nothing but spacing is left.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_spacing();
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes)) }
    }

    const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.at, kind }
    }

    const fn malformed(&self, what: &'static str) -> DecodeError {
        self.error(DecodeErrorKind::Malformed(what))
    }

    /// Takes `len` bytes, `len <= rest.len()`.
    fn take(&mut self, len: usize) -> &'de mut [u8] {
        let (taken, rest) = core::mem::take(&mut self.rest).split_at_mut(len);
        self.rest = rest;
        self.at += len;
        taken
    }

    fn skip_spacing(&mut self) {
        let len = self.rest.iter().take_while(|byte| super::is_spacing(**byte)).count();
        self.take(len);
    }

    /// The next byte that is not spacing.
    fn peek(&mut self) -> Result<u8, DecodeError> {
        self.skip_spacing();
        self.rest.first().copied().ok_or(self.error(DecodeErrorKind::Truncated))
    }

    /// Takes the next byte that is not spacing if it is `byte`.
    fn accept(&mut self, byte: u8) -> Result<bool, DecodeError> {
        let found = self.peek()? == byte;
        if found {
            self.take(1);
        }
        Ok(found)
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        if self.accept(byte)? { Ok(()) } else { Err(self.malformed(what)) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), DecodeError> {
        if self.rest.starts_with(word.as_bytes()) {
            self.take(word.len());
            Ok(())
        } else if word.as_bytes().starts_with(self.rest) {
            Err(DecodeError { at: self.at + self.rest.len(), kind: DecodeErrorKind::Truncated })
        } else {
            Err(self.malformed("word"))
        }
    }

    /// Takes a text, from quote to quote.
    fn text(&mut self) -> Result<&'de str, DecodeError> {
        self.expect(b'"', "key")?;
        let start = self.at;
        let mut len = 0;
        let mut escaped = false;
        loop {
            match self.rest.get(len) {
                None => {
                    return Err(DecodeError { at: start + self.rest.len(), kind: DecodeErrorKind::Truncated });
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    len += 2;
                }
                Some(0..0x20) => {
                    return Err(DecodeError { at: start + len, kind: DecodeErrorKind::Malformed("character in text") });
                }
                Some(_) => len += 1,
            }
        }
        let text = self.take(len);
        self.take(1);
        let text = if escaped {
            let len = unescape(text).map_err(|(offset, kind)| DecodeError { at: start + offset, kind })?;
            &text[..len]
        } else {
            &*text
        };
        // After unescaping the offset is exact only for text without escapes; it never lies behind the culprit.
        core::str::from_utf8(text)
            .map_err(|error| DecodeError { at: start + error.valid_up_to(), kind: DecodeErrorKind::Utf8 })
    }

    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let len = number_len(self.rest).map_err(|offset| DecodeError {
            at: self.at + offset,
            kind: if offset == self.rest.len() {
                DecodeErrorKind::Truncated
            } else {
                DecodeErrorKind::Malformed("number")
            },
        })?;
        let text = core::str::from_utf8(self.take(len)).expect("number_len accepts ASCII only");
        if let Ok(integer) = text.parse::<i64>() {
            visitor.visit_i64(integer)
        } else if let Ok(integer) = text.parse::<u64>() {
            visitor.visit_u64(integer)
        } else {
            visitor.visit_f64(text.parse().expect("Rust reads every number JSON can write"))
        }
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX }));
        }
        self.depth += 1;
        self.take(1);
        Ok(())
    }

    fn leave(&mut self, bracket: u8) -> Result<(), DecodeError> {
        self.depth -= 1;
        self.expect(bracket, "end of array or object")
    }
}

/// Length of the number at the front of `bytes`, or the offset of the byte that makes it none.
fn number_len(bytes: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let some_digits = |from: usize| match digits(from) {
        0 => Err(from),
        count => Ok(from + count),
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut len = if bytes.get(start) == Some(&b'0') { start + 1 } else { some_digits(start)? };
    if bytes.get(len) == Some(&b'.') {
        len = some_digits(len + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(len) {
        let signed = matches!(bytes.get(len + 1), Some(b'+' | b'-'));
        len = some_digits(len + 1 + usize::from(signed))?;
    }
    Ok(len)
}

/// Replaces the escapes in `text` and returns its new length, which is never more than the old one: the shortest
/// escape of a character takes two bytes for one, six for up to three, and twelve for four.
fn unescape(text: &mut [u8]) -> Result<usize, (usize, DecodeErrorKind)> {
    let mut read = 0;
    let mut written = 0;
    while read < text.len() {
        if text[read] != b'\\' {
            text[written] = text[read];
            read += 1;
            written += 1;
            continue;
        }
        let (character, len) = escape(&text[read..]).map_err(|kind| (read, kind))?;
        let mut utf8 = [0; 4];
        let utf8 = character.encode_utf8(&mut utf8).as_bytes();
        text[written..written + utf8.len()].copy_from_slice(utf8);
        read += len;
        written += utf8.len();
    }
    Ok(written)
}

/// The character that the escape at the front of `text` stands for, and the escape's length.
fn escape(text: &[u8]) -> Result<(char, usize), DecodeErrorKind> {
    let character = match text.get(1) {
        Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            const LONE: DecodeErrorKind = DecodeErrorKind::Malformed("surrogate pair");
            let first = code_unit(text)?;
            return match first {
                0xd800..0xdc00 => {
                    let second = text.get(6..).ok_or(LONE).and_then(code_unit).map_err(|_| LONE)?;
                    let pair = char::decode_utf16([first, second]).next().and_then(Result::ok).ok_or(LONE)?;
                    Ok((pair, 12))
                }
                _ => Ok((char::from_u32(u32::from(first)).ok_or(LONE)?, 6)),
            };
        }
        _ => return Err(DecodeErrorKind::Malformed("escape")),
    };
    Ok((character, 2))
}

/// The number in the `\uXXXX` at the front of `text`.
fn code_unit(text: &[u8]) -> Result<u16, DecodeErrorKind> {
    const ESCAPE: DecodeErrorKind = DecodeErrorKind::Malformed("escape");
    let digits = text.strip_prefix(b"\\u").and_then(|digits| digits.get(..4)).ok_or(ESCAPE)?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(ESCAPE)?;
        Ok(number << 4 | u16::try_from(digit).expect("a hexadecimal digit is below 16"))
    })
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => visitor.visit_borrowed_str(self.text()?),
            b'{' => {
                self.enter()?;
                let items = Items { deserializer: self, first: true, close: b'}' };
                let value = visitor.visit_map(items).map_err(|error| error.or_at(start))?;
                self.leave(b'}')?;
                Ok(value)
            }
            b'[' => {
                self.enter()?;
                let items = Items { deserializer: self, first: true, close: b']' };
                let value = visitor.visit_seq(items).map_err(|error| error.or_at(start))?;
                self.leave(b']')?;
                Ok(value)
            }
            b't' => self.word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.word("false").and_then(|()| visitor.visit_bool(false)),
            b'n' => self.word("null").and_then(|()| visitor.visit_unit()),
            b'N' => self.word("NaN").and_then(|()| visitor.visit_f64(f64::NAN)),
            b'I' => self.word("Infinity").and_then(|()| visitor.visit_f64(f64::INFINITY)),
            b'-' if self.rest.get(1) == Some(&b'I') => {
                self.word("-Infinity").and_then(|()| visitor.visit_f64(f64::NEG_INFINITY))
            }
            b'-' | b'0'..=b'9' => self.number(visitor),
            _ => Err(self.malformed("value")),
        }
        .map_err(|error| error.or_at(start))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.peek()? == b'n' {
            self.word("null")?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.peek()? {
            b'"' => {
                let variant: de::value::BorrowedStrDeserializer<'de, DecodeError> =
                    de::value::BorrowedStrDeserializer::new(self.text()?);
                visitor.visit_enum(variant)
            }
            b'{' => {
                self.enter()?;
                self.peek()?;
                let value = visitor.visit_enum(Variant { deserializer: &mut *self })?;
                self.leave(b'}')?;
                Ok(value)
            }
            _ => Err(self.error(DecodeErrorKind::WrongType("text or an object of one pair"))),
        }
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    /// Serde's structs would take a list of their values as well.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let start = self.at;
        match self.peek()? {
            b'[' => Err(DecodeError::invalid_type(Unexpected::Seq, &"a dictionary").or_at(start)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// The rest of an array or object.
struct Items<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    first: bool,
    close: u8,
}

impl Items<'_, '_> {
    /// Whether another item or pair follows.
    fn another(&mut self) -> Result<bool, DecodeError> {
        if self.deserializer.peek()? == self.close {
            return Ok(false);
        }
        if !core::mem::take(&mut self.first) {
            self.deserializer.expect(b',', "separator")?;
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        if self.another()? { seed.deserialize(&mut *self.deserializer).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        if self.another()? {
            seed.deserialize(Key { deserializer: &mut *self.deserializer }).map(Some)
        } else {
            Ok(None)
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        self.deserializer.expect(b':', "separator behind a key")?;
        seed.deserialize(&mut *self.deserializer)
    }
}

/// A key: text.
struct Key<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> de::Deserializer<'de> for Key<'_, 'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserializer.peek()?;
        let start = self.deserializer.at;
        let key = self.deserializer.text()?;
        visitor.visit_borrowed_str(key).map_err(|error: DecodeError| error.or_at(start))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// An enum variant with content: an object of one pair.
struct Variant<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let variant = seed.deserialize(Key { deserializer: &mut *self.deserializer })?;
        self.deserializer.expect(b':', "separator behind a key")?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        de::Deserialize::deserialize(self.deserializer)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.deserializer)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_any(self.deserializer, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_any(self.deserializer, visitor)
    }
}
