//! What a message looks like, found out by asking its type to be read: keys in their order, and the types behind them.

use std::fmt;

use serde::Deserialize;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use wire::DecodeError;
use wire::limits::TOKEN_BYTES;

/// The form of a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Shape {
    /// Nobody has asked.
    #[default]
    Unknown,
    Integer,
    Text,
    Boolean,
    Bytes,
    List(Box<Shape>),
    Optional(Box<Shape>),
    Struct(&'static str, Vec<(&'static str, Shape)>),
}

/// As in the tables of docs/wire.md.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("?"),
            Self::Integer => f.write_str("I"),
            Self::Text => f.write_str("S"),
            Self::Boolean => f.write_str("B"),
            Self::Bytes => f.write_str("T"),
            Self::List(item) => write!(f, "[{item}]"),
            Self::Optional(value) => write!(f, "{value}?"),
            Self::Struct(name, _) => f.write_str(&name.to_lowercase()),
        }
    }
}

/// The form of what stands under `name` in a frame of type `T`.
pub(crate) fn of_message<'a, T: Deserialize<'a>>(name: &'static str) -> Shape {
    let mut shape = Shape::default();
    T::deserialize(Frame(name, &mut shape)).expect("every message can be read from defaults");
    shape
}

/// A frame of one pair. The id of a reply or request is no part of it.
struct Frame<'s>(&'static str, &'s mut Shape);

impl<'de> de::Deserializer<'de> for Frame<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Frame(name, shape) = self;
        visitor.visit_map(Pairs { left: &[name], shapes: std::slice::from_mut(shape) })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The pairs of a dictionary, each read once.
struct Pairs<'s> {
    left: &'s [&'static str],
    /// One for each of `left`.
    shapes: &'s mut [Shape],
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(key) = self.left.first() else { return Ok(None) };
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let at = self.shapes.len() - self.left.len();
        self.left = &self.left[1..];
        seed.deserialize(Probe(&mut self.shapes[at]))
    }
}

/// One item of a list.
struct Item<'s>(Option<&'s mut Shape>);

impl<'de> SeqAccess<'de> for Item<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        self.0.take().map(|shape| seed.deserialize(Probe(shape))).transpose()
    }
}

/// Notes what it is asked for, and gives the least there is of it.
struct Probe<'s>(&'s mut Shape);

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            *self.0 = Shape::Integer;
            visitor.visit_u64(0)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Probe<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        Err(de::Error::custom("the messages of our own dialect say what they expect"))
    }

    integers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        *self.0 = Shape::Text;
        visitor.visit_borrowed_str("")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        *self.0 = Shape::Boolean;
        visitor.visit_bool(false)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        *self.0 = Shape::Bytes;
        visitor.visit_bytes(&[0; TOKEN_BYTES])
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut item = Shape::default();
        let value = visitor.visit_seq(Item(Some(&mut item)))?;
        *self.0 = Shape::List(Box::new(item));
        Ok(value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut inner = Shape::default();
        let value = visitor.visit_some(Probe(&mut inner))?;
        *self.0 = Shape::Optional(Box::new(inner));
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let mut shapes = vec![Shape::default(); fields.len()];
        let value = visitor.visit_map(Pairs { left: fields, shapes: &mut shapes })?;
        *self.0 = Shape::Struct(name, fields.iter().copied().zip(shapes).collect());
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char string byte_buf unit unit_struct newtype_struct tuple tuple_struct map enum
        identifier ignored_any
    }
}
