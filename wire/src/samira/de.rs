//! SAMIRA/1 bytes to values.

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::tag;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DEPTH_MAX;

/// Reads one value after the other from a slice.
#[derive(Debug)]
pub(super) struct Deserializer<'de> {
    bytes: &'de [u8],
    /// `at <= bytes.len()`
    at: usize,
    /// Containers around the place `at`; `depth <= DEPTH_MAX`.
    depth: usize,
}

impl<'de> Deserializer<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Offset of the next byte.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes)) }
    }

    const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.at, kind }
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes.get(self.at).copied().ok_or(self.error(DecodeErrorKind::Truncated))
    }

    fn take(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        let taken = self.bytes[self.at..]
            .get(..len)
            .ok_or(DecodeError { at: self.bytes.len(), kind: DecodeErrorKind::Truncated })?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N)?.try_into().expect("take returns as many bytes as it was asked for"))
    }

    fn length(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn text(&mut self, len: usize) -> Result<&'de str, DecodeError> {
        let start = self.at;
        core::str::from_utf8(self.take(len)?)
            .map_err(|error| DecodeError { at: start + error.valid_up_to(), kind: DecodeErrorKind::Utf8 })
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        if self.depth == DEPTH_MAX {
            let kind = DecodeErrorKind::LimitExceeded { what: "nesting depth", max: DEPTH_MAX };
            return Err(DecodeError { at: self.at - 1, kind });
        }
        self.depth += 1;
        Ok(())
    }

    /// What a visitor that stopped early left behind is a length the visitor did not take.
    fn leave(&mut self, left: u32) -> Result<(), DecodeError> {
        self.depth -= 1;
        if left == 0 { Ok(()) } else { Err(self.error(DecodeErrorKind::Malformed("array length"))) }
    }
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let start = self.at;
        match self.array::<1>()?[0] {
            tag::TEXT => {
                let len = self.length()?;
                visitor.visit_borrowed_str(self.text(len as usize)?)
            }
            tag::INTEGER => visitor.visit_i32(i32::from_be_bytes(self.array()?)),
            tag::FLOAT => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            tag::BOOLEAN => visitor.visit_bool(self.array::<1>()? != [0]),
            tag::NULL => visitor.visit_unit(),
            tag::ARRAY => {
                self.enter()?;
                let mut items = Counted { left: self.length()?, deserializer: self };
                let value = visitor.visit_seq(&mut items).map_err(|error| error.or_at(start))?;
                let Counted { left, deserializer } = items;
                deserializer.leave(left)?;
                Ok(value)
            }
            tag::DICTIONARY => {
                self.enter()?;
                let mut pairs = Counted { left: self.length()?, deserializer: self };
                let value = visitor.visit_map(&mut pairs).map_err(|error| error.or_at(start))?;
                let Counted { left, deserializer } = pairs;
                deserializer.leave(left)?;
                Ok(value)
            }
            _ => Err(DecodeError { at: start, kind: DecodeErrorKind::Malformed("tag") }),
        }
        .map_err(|error| error.or_at(start))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // The original sends its booleans as integers.
        if self.peek()? == tag::INTEGER {
            self.at += 1;
            visitor.visit_bool(self.array()? != [0; 4])
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.peek()? == tag::NULL {
            self.at += 1;
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
            tag::TEXT => {
                self.at += 1;
                let len = self.length()?;
                let variant: de::value::BorrowedStrDeserializer<'de, DecodeError> =
                    de::value::BorrowedStrDeserializer::new(self.text(len as usize)?);
                visitor.visit_enum(variant)
            }
            tag::DICTIONARY => {
                self.at += 1;
                self.enter()?;
                if self.length()? != 1 {
                    return Err(self.error(DecodeErrorKind::WrongType("a dictionary of one pair")));
                }
                let value = visitor.visit_enum(Variant { deserializer: &mut *self })?;
                self.leave(0)?;
                Ok(value)
            }
            _ => Err(self.error(DecodeErrorKind::WrongType("text or a dictionary of one pair"))),
        }
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The rest of an array or dictionary.
struct Counted<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    /// Items or pairs to come, as the sender claims: believed one by one, as bytes follow.
    left: u32,
}

impl<'de> SeqAccess<'de> for Counted<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.deserializer).map(Some)
    }
}

impl<'de> MapAccess<'de> for Counted<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(Key { deserializer: &mut *self.deserializer }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.deserializer)
    }
}

/// A key: text without a tag.
struct Key<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> de::Deserializer<'de> for Key<'_, 'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let start = self.deserializer.at;
        let len = u16::from_be_bytes(self.deserializer.array()?);
        let key = self.deserializer.text(usize::from(len))?;
        visitor.visit_borrowed_str(key).map_err(|error: DecodeError| error.or_at(start))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
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
        let variant = seed.deserialize(Key { deserializer: &mut *self.deserializer })?;
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
