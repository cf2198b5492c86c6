//! What several test files need.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::DecodeError;
use wire::codec::Codec;
use wire::frame::Splitter;

/// Any message, in order and with repeated keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_u64(u64::try_from(*value).map_err(serde::ser::Error::custom)?),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Integer(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Integer(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Float(value))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
                Ok(Value::Bytes(bytes.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Value::Map(pairs))
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Encodes `value`.
pub(crate) fn encode<T: Serialize + ?Sized>(codec: Codec, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_to_vec(value, &mut bytes).expect("the value has a form");
    bytes
}

/// What a splitter makes of a stream that arrives in chunks.
#[derive(Debug, PartialEq)]
pub(crate) struct Split {
    /// The messages.
    pub(crate) frames: Vec<Vec<u8>>,
    /// What follows the last of them.
    pub(crate) rest: Vec<u8>,
    /// Why it gave up, with the offset from the start of the stream.
    pub(crate) error: Option<DecodeError>,
}

/// Splits `chunks`.
pub(crate) fn split<'a>(mut splitter: Splitter, chunks: impl IntoIterator<Item = &'a [u8]>) -> Split {
    let mut buffer = Vec::new();
    let mut frames = Vec::<Vec<u8>>::new();
    let mut error = None;
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while error.is_none() {
            match splitter.push(&buffer) {
                Ok(Some(len)) => frames.push(buffer.drain(..len).collect()),
                Ok(None) => break,
                Err(DecodeError { at, kind }) => {
                    let before: usize = frames.iter().map(Vec::len).sum();
                    error = Some(DecodeError { at: before + at, kind });
                }
            }
        }
    }
    Split { frames, rest: buffer, error }
}
