//! SAMIRA/2 bytes to values.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{keys, tag};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;
use crate::varint::Varint;

/// Reads one value after the other from a slice.
#[derive(Debug)]
pub(super) struct Deserializer<'de> {
    /// What is not read yet.
    rest: &'de [u8],
    /// Bytes of the whole.
    len: usize,
    /// Containers around the next byte; `depth <= DEPTH_MAX`.
    depth: usize,
}

impl<'de> Deserializer<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, len: bytes.len(), depth: 0 }
    }

    /// Offset of the next byte.
    pub(super) const fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes)) }
    }

    #[cold]
    const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.at(), kind }
    }

    #[cold]
    const fn truncated(&self) -> DecodeError {
        DecodeError { at: self.len, kind: DecodeErrorKind::Truncated }
    }

    #[inline]
    fn peek(&self) -> Result<u8, DecodeError> {
        self.rest.first().copied().ok_or_else(|| self.truncated())
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let Some((&byte, rest)) = self.rest.split_first() else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(*taken)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at();
        let mut varint = Varint::new();
        loop {
            let read = varint.push(self.byte()?);
            match read.map_err(|_| DecodeError { at: start, kind: DecodeErrorKind::Malformed("varint") })? {
                Some(value) => return Ok(value),
                None => continue,
            }
        }
    }

    /// A length or count of `base` plus a varint. Each of the things counted takes a byte at least, so that one which cannot
    /// follow is refused at once.
    fn length(&mut self, base: u64) -> Result<usize, DecodeError> {
        let length = self.varint()?.checked_add(base).and_then(|length| usize::try_from(length).ok());
        length.filter(|length| *length <= self.rest.len()).ok_or_else(|| self.truncated())
    }

    #[inline(always)]
    fn text(&mut self, len: usize) -> Result<&'de str, DecodeError> {
        let start = self.at();
        core::str::from_utf8(self.take(len)?)
            .map_err(|error| DecodeError { at: start + error.valid_up_to(), kind: DecodeErrorKind::Utf8 })
    }

    /// A text, its tag included; `None` without reading anything if another value comes next.
    #[inline(always)]
    fn tagged_text(&mut self) -> Result<Option<&'de str>, DecodeError> {
        let tag = self.peek()?;
        if let tag::SHORT_TEXT..=0x7f = tag {
            self.rest = &self.rest[1..];
            self.text(usize::from(tag - tag::SHORT_TEXT)).map(Some)
        } else {
            self.long_text(tag)
        }
    }

    #[inline(never)]
    fn long_text(&mut self, tag: u8) -> Result<Option<&'de str>, DecodeError> {
        if tag != tag::TEXT {
            return Ok(None);
        }
        self.rest = &self.rest[1..];
        let len = self.length(tag::TEXT_BASE)?;
        self.text(len).map(Some)
    }

    /// A number that is not negative, its tag included; `None` without reading anything if another value comes next.
    #[inline(always)]
    fn tagged_unsigned(&mut self) -> Result<Option<u64>, DecodeError> {
        let tag = self.peek()?;
        if tag <= tag::SMALL_INTEGER_MAX {
            self.rest = &self.rest[1..];
            return Ok(Some(u64::from(tag)));
        }
        self.large_unsigned(tag)
    }

    #[inline(never)]
    fn large_unsigned(&mut self, tag: u8) -> Result<Option<u64>, DecodeError> {
        let high = u32::from(tag & 0x0f);
        Ok(Some(match tag {
            tag::INTEGER_12..=0xbf => {
                let [_, low] = self.array()?;
                tag::INTEGER_12_BASE + u64::from(high << 8 | u32::from(low))
            }
            tag::INTEGER_20..=0xcf => {
                let [_, low @ ..] = self.array::<3>()?;
                tag::INTEGER_20_BASE + u64::from(high << 16 | u32::from(u16::from_be_bytes(low)))
            }
            tag::INTEGER_28..=0xdf => {
                let [_, a, b, c] = self.array()?;
                tag::INTEGER_28_BASE + u64::from(high << 24 | u32::from_be_bytes([0, a, b, c]))
            }
            tag::INTEGER => {
                let start = self.at();
                self.rest = &self.rest[1..];
                let number = self.varint()?.checked_add(tag::INTEGER_BASE);
                number.ok_or(DecodeError { at: start, kind: DecodeErrorKind::Malformed("integer") })?
            }
            _ => return Ok(None),
        }))
    }

    /// A negative number, behind its tag.
    fn negative(&mut self) -> Result<i64, DecodeError> {
        let start = self.at() - 1;
        let below = i64::try_from(self.varint()?);
        below
            .map(|below| -1 - below)
            .map_err(|_| DecodeError { at: start, kind: DecodeErrorKind::Malformed("integer") })
    }

    /// What comes next is of a type that this place does not take.
    #[cold]
    fn mismatch(&self) -> DecodeError {
        match self.peek() {
            Ok(tag) => self.error(match tag::describe(tag) {
                Some(kind) => DecodeErrorKind::Unexpected(kind),
                None => DecodeErrorKind::Malformed("tag"),
            }),
            Err(truncated) => truncated,
        }
    }

    #[inline]
    fn enter(&mut self, start: usize) -> Result<(), DecodeError> {
        if self.depth == DEPTH_MAX {
            let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
            return Err(DecodeError { at: start, kind });
        }
        self.depth += 1;
        Ok(())
    }

    /// What a visitor that stopped early left behind is a length the visitor did not take.
    #[inline]
    fn leave(&mut self, left: usize) -> Result<(), DecodeError> {
        self.depth -= 1;
        if left == 0 { Ok(()) } else { Err(self.error(DecodeErrorKind::Malformed("array length"))) }
    }

    /// The count of an array or dictionary, its tag included; `None` without reading anything if another value comes next.
    #[inline]
    fn count(&mut self, short: u8, long: u8) -> Result<Option<usize>, DecodeError> {
        let tag = self.peek()?;
        if tag & 0xf0 == short {
            self.rest = &self.rest[1..];
            Ok(Some(usize::from(tag & 0x0f)))
        } else if tag == long {
            self.rest = &self.rest[1..];
            self.length(tag::COUNT_BASE).map(Some)
        } else {
            Ok(None)
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<&'de str, DecodeError> {
        match self.byte()? {
            index @ 0..keys::INLINE => Ok(keys::name(index)),
            first => self.key_in_full(first),
        }
    }

    #[inline(never)]
    fn key_in_full(&mut self, first: u8) -> Result<&'de str, DecodeError> {
        let len = match first {
            keys::LONG => self.length(keys::LONG_BASE)?,
            len => usize::from(len - keys::INLINE),
        };
        self.text(len)
    }

    #[inline(always)]
    fn sequence<V: Visitor<'de>>(&mut self, visitor: V) -> Result<Option<V::Value>, DecodeError> {
        let start = self.at();
        let Some(left) = self.count(tag::SHORT_ARRAY, tag::ARRAY)? else { return Ok(None) };
        self.enter(start)?;
        let mut items = Counted { deserializer: self, left };
        let value = visitor.visit_seq(&mut items).map_err(|error| error.or_at(start))?;
        let left = items.left;
        self.leave(left)?;
        Ok(Some(value))
    }

    #[inline(always)]
    fn dictionary<V: Visitor<'de>>(&mut self, visitor: V) -> Result<Option<V::Value>, DecodeError> {
        let start = self.at();
        let Some(left) = self.count(tag::SHORT_DICTIONARY, tag::DICTIONARY)? else { return Ok(None) };
        self.enter(start)?;
        let mut pairs = Counted { deserializer: self, left };
        let value = visitor.visit_map(&mut pairs).map_err(|error| error.or_at(start))?;
        let left = pairs.left;
        self.leave(left)?;
        Ok(Some(value))
    }
}

/// Methods for integers of any width: the visitor checks the range.
macro_rules! integers {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let start = self.at();
            match self.tagged_unsigned()? {
                Some(number) => visitor.visit_u64(number),
                None if self.peek()? == tag::NEGATIVE_INTEGER => {
                    self.rest = &self.rest[1..];
                    visitor.visit_i64(self.negative()?)
                }
                None => Err(self.mismatch()),
            }
            .map_err(|error: DecodeError| error.or_at(start))
        })*
    };
}

/// Methods that differ only in their name and arguments.
macro_rules! same {
    ($read:ident: $($method:ident($($kind:ty),*))*) => {
        $(#[inline(always)]
        fn $method<V: Visitor<'de>>(self, $(_: $kind,)* visitor: V) -> Result<V::Value, DecodeError> {
            match self.$read(visitor)? {
                Some(value) => Ok(value),
                None => Err(self.mismatch()),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let start = self.at();
        match self.peek()? {
            tag::SHORT_TEXT..=0x7f | tag::TEXT => match self.tagged_text()? {
                Some(text) => visitor.visit_borrowed_str(text),
                None => Err(self.mismatch()),
            },
            tag::SHORT_ARRAY..=0x8f | tag::ARRAY => return self.deserialize_seq(visitor),
            tag::SHORT_DICTIONARY..=0x9f | tag::DICTIONARY => return self.deserialize_map(visitor),
            tag::BYTES => return self.deserialize_bytes(visitor),
            tag @ (tag::FALSE | tag::TRUE) => {
                self.rest = &self.rest[1..];
                visitor.visit_bool(tag == tag::TRUE)
            }
            tag::NULL => {
                self.rest = &self.rest[1..];
                visitor.visit_unit()
            }
            tag::FLOAT => {
                self.rest = &self.rest[1..];
                visitor.visit_f64(f64::from_be_bytes(self.array()?))
            }
            _ => return self.deserialize_u64(visitor),
        }
        .map_err(|error| error.or_at(start))
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    same! { borrowed_text: deserialize_str() deserialize_string() deserialize_char() deserialize_identifier() }

    same! { raw_bytes: deserialize_bytes() deserialize_byte_buf() }

    same! {
        sequence: deserialize_seq() deserialize_tuple(usize) deserialize_tuple_struct(&'static str, usize)
    }

    same! { dictionary: deserialize_map() deserialize_struct(&'static str, &'static [&'static str]) }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.peek()? == tag::NULL {
            self.rest = &self.rest[1..];
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
        let start = self.at();
        if let Some(variant) = self.tagged_text()? {
            let variant: BorrowedStrDeserializer<'de, DecodeError> = BorrowedStrDeserializer::new(variant);
            return visitor.visit_enum(variant).map_err(|error| error.or_at(start));
        }
        match self.count(tag::SHORT_DICTIONARY, tag::DICTIONARY)? {
            Some(1) => {}
            Some(_) => {
                let kind = DecodeErrorKind::WrongType("a dictionary of one pair");
                return Err(DecodeError { at: start, kind });
            }
            None => return Err(self.error(DecodeErrorKind::WrongType("text or a dictionary of one pair"))),
        }
        self.enter(start)?;
        let value = visitor.visit_enum(Variant { deserializer: &mut *self }).map_err(|error| error.or_at(start))?;
        self.leave(0)?;
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! { bool f32 f64 unit unit_struct ignored_any }
}

/// What hands one kind of value to a visitor; `None` without reading anything if another kind comes next.
impl<'de> Deserializer<'de> {
    #[inline(always)]
    fn borrowed_text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<Option<V::Value>, DecodeError> {
        let start = self.at();
        match self.tagged_text()? {
            Some(text) => visitor.visit_borrowed_str(text).map(Some).map_err(|error: DecodeError| error.or_at(start)),
            None => Ok(None),
        }
    }

    fn raw_bytes<V: Visitor<'de>>(&mut self, visitor: V) -> Result<Option<V::Value>, DecodeError> {
        let start = self.at();
        if self.peek()? != tag::BYTES {
            return Ok(None);
        }
        self.rest = &self.rest[1..];
        let len = self.length(0)?;
        let bytes = self.take(len)?;
        visitor.visit_borrowed_bytes(bytes).map(Some).map_err(|error: DecodeError| error.or_at(start))
    }
}

/// The rest of an array or dictionary.
struct Counted<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    /// Items or pairs to come, as the sender claims: believed one by one, as bytes follow.
    left: usize,
}

impl<'de> SeqAccess<'de> for Counted<'_, 'de> {
    type Error = DecodeError;

    #[inline(always)]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.deserializer).map(Some)
    }

    /// Not more than bytes follow.
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.deserializer.rest.len()))
    }
}

impl<'de> MapAccess<'de> for Counted<'_, 'de> {
    type Error = DecodeError;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        next_key(self.deserializer, seed).map(Some)
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.deserializer)
    }
}

#[inline(always)]
fn next_key<'de, K: DeserializeSeed<'de>>(
    deserializer: &mut Deserializer<'de>,
    seed: K,
) -> Result<K::Value, DecodeError> {
    let start = deserializer.at();
    let key: BorrowedStrDeserializer<'de, DecodeError> = BorrowedStrDeserializer::new(deserializer.key()?);
    seed.deserialize(key).map_err(|error| error.or_at(start))
}

/// A whole message: a dictionary whose pairs fill the frame.
pub(super) struct Message<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'a, 'de> Message<'a, 'de> {
    pub(super) const fn new(deserializer: &'a mut Deserializer<'de>) -> Self {
        Self { deserializer }
    }
}

impl<'de> de::Deserializer<'de> for Message<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserializer.enter(0)?;
        let value = visitor.visit_map(Pairs { deserializer: &mut *self.deserializer });
        self.deserializer.depth -= 1;
        value.map_err(|error| error.or_at(0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
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
        self.deserializer.enter(0)?;
        let value = visitor.visit_enum(Variant { deserializer: &mut *self.deserializer });
        self.deserializer.depth -= 1;
        value.map_err(|error| error.or_at(0))
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The rest of a message.
struct Pairs<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> MapAccess<'de> for Pairs<'_, 'de> {
    type Error = DecodeError;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        if self.deserializer.rest.is_empty() {
            return Ok(None);
        }
        next_key(self.deserializer, seed).map(Some)
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.deserializer)
    }
}

/// An enum variant with content: a dictionary of one pair.
struct Variant<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let variant = next_key(self.deserializer, seed)?;
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
        de::Deserializer::deserialize_seq(self.deserializer, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_map(self.deserializer, visitor)
    }
}
