//! Values of any type that derives `Deserialize`, made of entropy: what a type asks its deserializer for, it gets. A message
//! that gains a key is tested with it from then on.

use serde::Deserialize;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use wire::DecodeError;

/// What a value is made of.
#[derive(Debug)]
pub(crate) struct Inventor<'de> {
    /// Taken one after the other; once all are used, the first comes again.
    entropy: &'de [u64],
    used: usize,
    texts: &'de [String],
    /// Every key is there, and nothing has its default.
    full: bool,
}

impl<'de> Inventor<'de> {
    /// Makes values in which anything may be missing or empty. `entropy` and `texts` must not be empty.
    pub(crate) const fn any(entropy: &'de [u64], texts: &'de [String]) -> Self {
        Self { entropy, used: 0, texts, full: false }
    }

    /// Makes values in which nothing is missing. No text in `texts` may be empty.
    pub(crate) const fn full(texts: &'de [String]) -> Self {
        Self { entropy: &[1], used: 0, texts, full: true }
    }

    /// A frame whose id stands under `id`, if there is one, and whose content under `body`.
    pub(crate) fn frame<T: Deserialize<'de>>(self, id: Option<&'static str>, body: &'static str) -> T {
        T::deserialize(Envelope { inventor: self, keys: [id, Some(body)].into_iter().flatten() })
            .expect("every type takes what it asks for")
    }

    fn number(&mut self) -> u64 {
        let number = self.entropy[self.used % self.entropy.len()];
        self.used += 1;
        number
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).expect("below a usize")
    }
}

impl<'de> de::Deserializer<'de> for &mut Inventor<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        unreachable!("all our types know what they are")
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u64(self.number())
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u64(self.number() & 0xffff)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_bool(self.full || self.number() & 1 == 1)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let index = self.below(self.texts.len());
        visitor.visit_borrowed_str(&self.texts[index])
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut bytes = [0; wire::limits::TOKEN_BYTES];
        bytes.iter_mut().for_each(|byte| *byte = self.number().to_le_bytes()[0]);
        visitor.visit_bytes(&bytes)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.full || self.number() & 1 == 1 { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Now and then more items than one byte counts.
        let left = match self.below(8) {
            few if self.full => few.max(1),
            7 => 20,
            few => few.min(3),
        };
        visitor.visit_seq(Items { inventor: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_map(Fields { inventor: self, fields: fields.iter() })
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u32 u128 f32 f64 char string byte_buf unit unit_struct newtype_struct tuple tuple_struct map
        enum identifier ignored_any
    }
}

struct Items<'a, 'de> {
    inventor: &'a mut Inventor<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.inventor).map(Some)
    }
}

struct Fields<'a, 'de> {
    inventor: &'a mut Inventor<'de>,
    fields: core::slice::Iter<'static, &'static str>,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        loop {
            let Some(field) = self.fields.next() else { return Ok(None) };
            if self.inventor.full || !self.inventor.number().is_multiple_of(4) {
                return seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some);
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.inventor)
    }
}

/// The outermost dictionary, which has no type of its own that would name its keys.
struct Envelope<'de, I> {
    inventor: Inventor<'de>,
    keys: I,
}

impl<'de, I: Iterator<Item = &'static str>> de::Deserializer<'de> for Envelope<'de, I> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, I: Iterator<Item = &'static str>> MapAccess<'de> for Envelope<'de, I> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        self.keys.next().map(|key| seed.deserialize(BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut self.inventor)
    }
}
