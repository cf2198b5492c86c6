//! Values to SAMIRA/2 bytes.

use core::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Impossible};

use super::{keys, tag};
use crate::bytes::Sink;
use crate::encode::{KeySerializer, impl_compounds, pieces};
use crate::error::EncodeError;
use crate::varint;

/// What stands behind a tag: the digits of a varint, or nothing.
struct Digits {
    bytes: [u8; varint::BYTES_MAX],
    len: usize,
}

impl Digits {
    fn new(number: u64) -> Self {
        let mut bytes = [0; varint::BYTES_MAX];
        let len = varint::write(number, &mut bytes);
        Self { bytes, len }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Tag and digits of `number` things, of which fewer than `base` are counted in the tag `short`.
fn counted(short: u8, long: u8, base: u64, number: usize) -> (u8, Digits) {
    match (number as u64).checked_sub(base) {
        None => (short | number as u8, Digits { bytes: [0; varint::BYTES_MAX], len: 0 }),
        Some(beyond) => (long, Digits::new(beyond)),
    }
}

/// Replaces the head of something that turned out to be longer or shorter than was thought.
fn replace_head<S: Sink>(sink: &mut S, at: usize, len: usize, (tag, digits): (u8, Digits)) -> Result<(), EncodeError> {
    let mut head = [tag; 1 + varint::BYTES_MAX];
    head[1..].copy_from_slice(&digits.bytes);
    sink.replace(at, len, &head[..1 + digits.len])
}

/// Writes one value; see the table in [`crate::samira2`].
#[derive(Debug)]
pub(super) struct Serializer<'s, S, B> {
    sink: &'s mut S,
    before: B,
}

/// What is still to be written before a value: it goes out together with the value's tag, which for the many short values
/// of a message is half of the work.
pub(super) trait Before: Copy {
    /// How many bytes it takes.
    const LEN: usize;

    /// Writes it, a tag, and what stands behind the tag.
    fn write<S: Sink>(self, sink: &mut S, tag: u8, tail: &[u8]) -> Result<(), EncodeError>;
}

/// Nothing: the value stands alone, or its key has been written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nothing;

impl Before for Nothing {
    const LEN: usize = 0;

    #[inline(always)]
    fn write<S: Sink>(self, sink: &mut S, tag: u8, tail: &[u8]) -> Result<(), EncodeError> {
        sink.write_both([tag], tail)
    }
}

/// The value's key, by its index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index(u8);

impl Before for Index {
    const LEN: usize = 1;

    #[inline(always)]
    fn write<S: Sink>(self, sink: &mut S, tag: u8, tail: &[u8]) -> Result<(), EncodeError> {
        sink.write_both([self.0, tag], tail)
    }
}

impl<'s, S: Sink, B: Before> Serializer<'s, S, B> {
    /// Writes a tag and what stands behind it.
    #[inline(always)]
    fn tagged(self, tag: u8, tail: &[u8]) -> Result<&'s mut S, EncodeError> {
        self.before.write(self.sink, tag, tail)?;
        Ok(self.sink)
    }

    #[inline(always)]
    fn unsigned(self, value: u64) -> Result<(), EncodeError> {
        if value <= u64::from(tag::SMALL_INTEGER_MAX) {
            self.tagged(value as u8, &[]).map(drop)
        } else {
            self.large_unsigned(value)
        }
    }

    #[inline(never)]
    fn large_unsigned(self, value: u64) -> Result<(), EncodeError> {
        if value < tag::INTEGER_20_BASE {
            let [.., high, low] = (value - tag::INTEGER_12_BASE).to_be_bytes();
            self.tagged(tag::INTEGER_12 | high, &[low])
        } else if value < tag::INTEGER_28_BASE {
            let [.., high, middle, low] = (value - tag::INTEGER_20_BASE).to_be_bytes();
            self.tagged(tag::INTEGER_20 | high, &[middle, low])
        } else if value < tag::INTEGER_BASE {
            let [.., high, a, b, low] = (value - tag::INTEGER_28_BASE).to_be_bytes();
            self.tagged(tag::INTEGER_28 | high, &[a, b, low])
        } else {
            self.tagged(tag::INTEGER, Digits::new(value - tag::INTEGER_BASE).as_slice())
        }
        .map(drop)
    }

    #[inline(always)]
    fn signed(self, value: i64) -> Result<(), EncodeError> {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.negative(value),
        }
    }

    #[inline(never)]
    fn negative(self, value: i64) -> Result<(), EncodeError> {
        self.tagged(tag::NEGATIVE_INTEGER, Digits::new(!value as u64).as_slice()).map(drop)
    }

    #[inline(always)]
    fn text(self, text: &str) -> Result<(), EncodeError> {
        if text.len() < tag::TEXT_BASE as usize {
            self.tagged(tag::SHORT_TEXT | text.len() as u8, text.as_bytes()).map(drop)
        } else {
            self.long_text(text)
        }
    }

    #[inline(never)]
    fn long_text(self, text: &str) -> Result<(), EncodeError> {
        let digits = Digits::new(text.len() as u64 - tag::TEXT_BASE);
        self.tagged(tag::TEXT, digits.as_slice())?.write(text.as_bytes())
    }

    /// The head of an array or dictionary of `announced` things. It is put right at the end if there were more or fewer.
    #[inline(always)]
    fn open(self, kind: Kind, announced: usize) -> Result<Container<'s, S>, EncodeError> {
        let head_at = self.sink.position() + B::LEN;
        let sink = if announced < tag::COUNT_BASE as usize {
            self.tagged(kind.short() | announced as u8, &[])?
        } else {
            let (tag, digits) = kind.head(announced);
            self.tagged(tag, digits.as_slice())?
        };
        Ok(Container { sink, kind, head_at, announced, count: 0 })
    }

    /// A dictionary of one pair whose value is still to come.
    fn variant(self, variant: &str) -> Result<Serializer<'s, S, Nothing>, EncodeError> {
        let sink = self.tagged(tag::SHORT_DICTIONARY | 1, &[])?;
        key(sink, variant)?;
        Ok(Serializer { sink, before: Nothing })
    }
}

#[inline(always)]
fn key<S: Sink>(sink: &mut S, name: &str) -> Result<(), EncodeError> {
    match keys::index(name) {
        Some(index) => sink.write_both([index], &[]),
        None => key_in_full(sink, name),
    }
}

#[inline(never)]
fn key_in_full<S: Sink>(sink: &mut S, name: &str) -> Result<(), EncodeError> {
    match (name.len() as u64).checked_sub(keys::LONG_BASE) {
        None => sink.write_both([keys::INLINE + name.len() as u8], name.as_bytes()),
        Some(beyond) => {
            sink.write_both([keys::LONG], Digits::new(beyond).as_slice())?;
            sink.write(name.as_bytes())
        }
    }
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
    const fn short(self) -> u8 {
        match self {
            Self::Array => tag::SHORT_ARRAY,
            Self::Dictionary | Self::Message => tag::SHORT_DICTIONARY,
        }
    }

    fn head(self, count: usize) -> (u8, Digits) {
        let long = if self == Self::Array { tag::ARRAY } else { tag::DICTIONARY };
        counted(self.short(), long, tag::COUNT_BASE, count)
    }
}

impl<S: Sink> Container<'_, S> {
    #[inline(always)]
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        value.serialize(Serializer { sink: self.sink, before: Nothing })
    }

    #[inline(always)]
    fn pair<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        match keys::index(name) {
            Some(index) => value.serialize(Serializer { sink: self.sink, before: Index(index) }),
            None => {
                key_in_full(self.sink, name)?;
                value.serialize(Serializer { sink: self.sink, before: Nothing })
            }
        }
    }

    #[inline(always)]
    fn finish(self) -> Result<(), EncodeError> {
        if self.count == self.announced || self.kind == Kind::Message { Ok(()) } else { self.put_right() }
    }

    #[cold]
    #[inline(never)]
    fn put_right(self) -> Result<(), EncodeError> {
        let (_, announced) = self.kind.head(self.announced);
        replace_head(self.sink, self.head_at, 1 + announced.len, self.kind.head(self.count))
    }
}

/// Methods that differ only in the type they take.
macro_rules! integers {
    ($write:ident: $($method:ident($kind:ty);)*) => {
        $(#[inline(always)]
        fn $method(self, value: $kind) -> Result<(), EncodeError> {
            self.$write(value.into())
        })*
    };
}

impl<'s, S: Sink, B: Before> ser::Serializer for Serializer<'s, S, B> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'s, S>;
    type SerializeTuple = Container<'s, S>;
    type SerializeTupleStruct = Container<'s, S>;
    type SerializeTupleVariant = Container<'s, S>;
    type SerializeMap = Container<'s, S>;
    type SerializeStruct = Container<'s, S>;
    type SerializeStructVariant = Container<'s, S>;

    integers! { signed:
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
    }

    integers! { unsigned:
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.signed(i64::try_from(value).map_err(|_| EncodeError::IntegerRange)?),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeError> {
        self.unsigned(u64::try_from(value).map_err(|_| EncodeError::IntegerRange)?)
    }

    #[inline(always)]
    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.tagged(if value { tag::TRUE } else { tag::FALSE }, &[]).map(drop)
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        self.tagged(tag::FLOAT, &value.to_be_bytes()).map(drop)
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline(always)]
    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        self.tagged(tag::BYTES, Digits::new(value.len() as u64).as_slice())?.write(value)
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    #[inline(always)]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.tagged(tag::NULL, &[]).map(drop)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        self.text(variant)
    }

    #[inline(always)]
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
        value.serialize(self.variant(variant)?)
    }

    #[inline(always)]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        self.open(Kind::Array, len.unwrap_or(0))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, EncodeError> {
        self.open(Kind::Array, len)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        self.open(Kind::Array, len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        self.variant(variant)?.open(Kind::Array, len)
    }

    #[inline(always)]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        self.open(Kind::Dictionary, len.unwrap_or(0))
    }

    #[inline(always)]
    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeStruct, EncodeError> {
        self.open(Kind::Dictionary, len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        self.variant(variant)?.open(Kind::Dictionary, len)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        // Its length is known only afterwards; mostly its head is one byte.
        let sink = self.tagged(tag::SHORT_TEXT, &[])?;
        let start = sink.position();
        pieces(value, |piece| sink.write(piece.as_bytes()))?;
        let len = sink.position() - start;
        replace_head(sink, start - 1, 1, counted(tag::SHORT_TEXT, tag::TEXT, tag::TEXT_BASE, len))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

// So that the index of a key, a literal there, is known when the caller is compiled.
impl_compounds!(Container<'_, S>, inline(always));

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
        value.serialize(Serializer { sink: self.sink, before: Nothing })
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
        Serializer { sink: self.sink, before: Nothing }.open(Kind::Array, len)
    }

    #[inline(always)]
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Ok(self.open())
    }

    #[inline(always)]
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
        Serializer { sink: self.sink, before: Nothing }.open(Kind::Dictionary, len)
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
