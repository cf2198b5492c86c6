//! Values to SAMIRA/2 bytes.

use core::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Impossible};

use super::{keys, tag};
use crate::bytes::Sink;
use crate::encode::{KeySerializer, impl_compounds, pieces};
use crate::error::EncodeError;
use crate::varint;

/// Bytes of the longest head of a value: a tag and a varint.
const HEAD_BYTES_MAX: usize = 1 + varint::BYTES_MAX;

/// A tag and what belongs to it.
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    /// `1 <= len <= HEAD_BYTES_MAX`
    len: usize,
}

impl Head {
    /// `tag` with a varint behind it.
    fn new(tag: u8, number: u64) -> Self {
        let mut digits = [0; varint::BYTES_MAX];
        let len = varint::write(number, &mut digits);
        let mut bytes = [tag; HEAD_BYTES_MAX];
        bytes[1..].copy_from_slice(&digits);
        Self { bytes, len: 1 + len }
    }

    /// The head of `number` things, of which up to `base` are counted in the tag `short`.
    fn counted(short: u8, long: u8, base: u64, number: usize) -> Self {
        match (number as u64).checked_sub(base) {
            None => Self { bytes: [short | number as u8; HEAD_BYTES_MAX], len: 1 },
            Some(beyond) => Self::new(long, beyond),
        }
    }

    fn text(len: usize) -> Self {
        Self::counted(tag::SHORT_TEXT, tag::TEXT, tag::TEXT_BASE, len)
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Writes one value; see the table in [`crate::samira2`].
#[derive(Debug)]
pub(super) struct Serializer<'s, S> {
    sink: &'s mut S,
}

#[inline]
fn unsigned<S: Sink>(sink: &mut S, value: u64) -> Result<(), EncodeError> {
    if value <= u64::from(tag::SMALL_INTEGER_MAX) { sink.write(&[value as u8]) } else { large_unsigned(sink, value) }
}

fn large_unsigned<S: Sink>(sink: &mut S, value: u64) -> Result<(), EncodeError> {
    if value < tag::INTEGER_20_BASE {
        let [.., high, low] = (value - tag::INTEGER_12_BASE).to_be_bytes();
        sink.write(&[tag::INTEGER_12 | high, low])
    } else if value < tag::INTEGER_28_BASE {
        let [.., high, middle, low] = (value - tag::INTEGER_20_BASE).to_be_bytes();
        sink.write(&[tag::INTEGER_20 | high, middle, low])
    } else if value < tag::INTEGER_BASE {
        let [.., high, a, b, low] = (value - tag::INTEGER_28_BASE).to_be_bytes();
        sink.write(&[tag::INTEGER_28 | high, a, b, low])
    } else {
        sink.write(Head::new(tag::INTEGER, value - tag::INTEGER_BASE).as_slice())
    }
}

#[inline]
fn signed<S: Sink>(sink: &mut S, value: i64) -> Result<(), EncodeError> {
    match u64::try_from(value) {
        Ok(value) => unsigned(sink, value),
        Err(_) => sink.write(Head::new(tag::NEGATIVE_INTEGER, !value as u64).as_slice()),
    }
}

#[inline]
fn text<S: Sink>(sink: &mut S, text: &str) -> Result<(), EncodeError> {
    if text.len() < tag::TEXT_BASE as usize {
        sink.write(&[tag::SHORT_TEXT | text.len() as u8])?;
    } else {
        sink.write(Head::text(text.len()).as_slice())?;
    }
    sink.write(text.as_bytes())
}

#[inline(always)]
fn key<S: Sink>(sink: &mut S, key: &str) -> Result<(), EncodeError> {
    match keys::index(key) {
        Some(index) => sink.write(&[index]),
        None => inline_key(sink, key),
    }
}

fn inline_key<S: Sink>(sink: &mut S, key: &str) -> Result<(), EncodeError> {
    match (key.len() as u64).checked_sub(keys::LONG_BASE) {
        None => sink.write(&[keys::INLINE + key.len() as u8])?,
        Some(beyond) => sink.write(Head::new(keys::LONG, beyond).as_slice())?,
    }
    sink.write(key.as_bytes())
}

/// An array or dictionary being written.
#[derive(Debug)]
pub(super) struct Container<'s, S> {
    sink: &'s mut S,
    kind: Kind,
    /// Where its head is.
    head_at: usize,
    /// Items or pairs that the head says.
    announced: usize,
    /// Items or pairs written.
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Dictionary,
    /// A dictionary that ends with the frame, and so has no head.
    Message,
}

impl Kind {
    fn head(self, count: usize) -> Head {
        match self {
            Self::Array => Head::counted(tag::SHORT_ARRAY, tag::ARRAY, tag::COUNT_BASE, count),
            _ => Head::counted(tag::SHORT_DICTIONARY, tag::DICTIONARY, tag::COUNT_BASE, count),
        }
    }
}

impl<'s, S: Sink> Container<'s, S> {
    /// Writes the head of `announced` things. It is put right at the end if there were more or fewer.
    #[inline]
    fn open(sink: &'s mut S, kind: Kind, announced: usize) -> Result<Self, EncodeError> {
        let head_at = sink.position();
        if announced < tag::COUNT_BASE as usize {
            let short = if kind == Kind::Array { tag::SHORT_ARRAY } else { tag::SHORT_DICTIONARY };
            sink.write(&[short | announced as u8])?;
        } else {
            sink.write(kind.head(announced).as_slice())?;
        }
        Ok(Self { sink, kind, head_at, announced, count: 0 })
    }

    #[inline(always)]
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        value.serialize(Serializer { sink: self.sink })
    }

    #[inline(always)]
    fn pair<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        key(self.sink, name)?;
        value.serialize(Serializer { sink: self.sink })
    }

    #[inline]
    fn finish(self) -> Result<(), EncodeError> {
        if self.count == self.announced { Ok(()) } else { self.put_right() }
    }

    #[cold]
    fn put_right(self) -> Result<(), EncodeError> {
        match self.kind {
            Kind::Message => Ok(()),
            kind => {
                let (announced, real) = (kind.head(self.announced), kind.head(self.count));
                self.sink.replace(self.head_at, announced.len, real.as_slice())
            }
        }
    }
}

/// Methods that differ only in the type they take.
macro_rules! integers {
    ($write:ident as $as:ty: $($method:ident($kind:ty);)*) => {
        $(#[inline]
        fn $method(self, value: $kind) -> Result<(), EncodeError> {
            $write(self.sink, <$as>::try_from(value).map_err(|_| EncodeError::IntegerRange)?)
        })*
    };
}

impl<'s, S: Sink> ser::Serializer for Serializer<'s, S> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'s, S>;
    type SerializeTuple = Container<'s, S>;
    type SerializeTupleStruct = Container<'s, S>;
    type SerializeTupleVariant = Container<'s, S>;
    type SerializeMap = Container<'s, S>;
    type SerializeStruct = Container<'s, S>;
    type SerializeStructVariant = Container<'s, S>;

    integers! { signed as i64:
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
    }

    integers! { unsigned as u64:
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        match u64::try_from(value) {
            Ok(value) => unsigned(self.sink, value),
            Err(_) => signed(self.sink, i64::try_from(value).map_err(|_| EncodeError::IntegerRange)?),
        }
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.sink.write(&[if value { tag::TRUE } else { tag::FALSE }])
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        self.sink.write(&[tag::FLOAT])?;
        self.sink.write(&value.to_be_bytes())
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        text(self.sink, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        self.sink.write(Head::new(tag::BYTES, value.len() as u64).as_slice())?;
        self.sink.write(value)
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.sink.write(&[tag::NULL])
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.sink.write(&[tag::SHORT_DICTIONARY | 1])?;
        key(self.sink, variant)?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        Container::open(self.sink, Kind::Array, len.unwrap_or(0))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, EncodeError> {
        Container::open(self.sink, Kind::Array, len)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        Container::open(self.sink, Kind::Array, len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        self.sink.write(&[tag::SHORT_DICTIONARY | 1])?;
        key(self.sink, variant)?;
        Container::open(self.sink, Kind::Array, len)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Container::open(self.sink, Kind::Dictionary, len.unwrap_or(0))
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeStruct, EncodeError> {
        Container::open(self.sink, Kind::Dictionary, len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        self.sink.write(&[tag::SHORT_DICTIONARY | 1])?;
        key(self.sink, variant)?;
        Container::open(self.sink, Kind::Dictionary, len)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        // Its length is known only afterwards; mostly its head is one byte.
        let head_at = self.sink.position();
        self.sink.write(&[tag::SHORT_TEXT])?;
        pieces(value, |piece| self.sink.write(piece.as_bytes()))?;
        let len = self.sink.position() - head_at - 1;
        self.sink.replace(head_at, 1, Head::text(len).as_slice())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl_compounds!(Container<'_, S>);

impl<S: Sink> ser::SerializeMap for Container<'_, S> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), EncodeError> {
        self.count += 1;
        name.serialize(KeySerializer(|name: &str| key(self.sink, name)))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(Serializer { sink: self.sink })
    }

    #[inline]
    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

/// Writes a whole message: a dictionary without a head.
#[derive(Debug)]
pub(super) struct MessageSerializer<'s, S> {
    sink: &'s mut S,
}

impl<'s, S: Sink> MessageSerializer<'s, S> {
    pub(super) const fn new(sink: &'s mut S) -> Self {
        Self { sink }
    }

    #[inline]
    fn open(self) -> Container<'s, S> {
        Container { sink: self.sink, kind: Kind::Message, head_at: 0, announced: 0, count: 0 }
    }
}

const NO_MESSAGE: EncodeError = EncodeError::Unsupported("message that is not a dictionary");

/// The serde methods that are no message.
macro_rules! no_message {
    ($($method:ident($($kind:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<$result, EncodeError> {
            Err(NO_MESSAGE)
        })*
    };
}

impl<'s, S: Sink> ser::Serializer for MessageSerializer<'s, S> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Impossible<(), EncodeError>;
    type SerializeTuple = Impossible<(), EncodeError>;
    type SerializeTupleStruct = Impossible<(), EncodeError>;
    type SerializeTupleVariant = Container<'s, S>;
    type SerializeMap = Container<'s, S>;
    type SerializeStruct = Container<'s, S>;
    type SerializeStructVariant = Container<'s, S>;

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.open().pair(variant, value)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        key(self.sink, variant)?;
        Container::open(self.sink, Kind::Array, len)
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Ok(self.open())
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, EncodeError> {
        Ok(self.open())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        key(self.sink, variant)?;
        Container::open(self.sink, Kind::Dictionary, len)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<(), EncodeError> {
        Err(NO_MESSAGE)
    }

    no_message! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_i128(i128) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
    }
}
