//! Values to SAMIRA/1 bytes.

use core::fmt::Display;

use serde::Serialize;
use serde::ser;

use super::tag;
use crate::bytes::Sink;
use crate::encode::{KeySerializer, impl_compounds, pieces};
use crate::error::EncodeError;

/// Writes one value; see the table in [`crate::samira`].
#[derive(Debug)]
pub(super) struct Serializer<'a, S> {
    sink: &'a mut S,
}

impl<'a, S: Sink> Serializer<'a, S> {
    pub(super) const fn new(sink: &'a mut S) -> Self {
        Self { sink }
    }

    fn integer(&mut self, value: impl TryInto<i32>) -> Result<(), EncodeError> {
        let value: i32 = value.try_into().map_err(|_| EncodeError::IntegerRange)?;
        self.sink.write(&[tag::INTEGER])?;
        self.sink.write(&value.to_be_bytes())
    }

    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        let len = u16::try_from(key.len()).map_err(|_| EncodeError::KeyTooLong)?;
        self.sink.write(&len.to_be_bytes())?;
        self.sink.write(key.as_bytes())
    }

    /// Writes `tag` and a count that [`Container`] fills in.
    fn container(&mut self, tag: u8) -> Result<Container<'_, 'a, S>, EncodeError> {
        self.sink.write(&[tag])?;
        let count_at = self.sink.position();
        self.sink.write(&[0; 4])?;
        Ok(Container { serializer: self, count_at, count: 0 })
    }

    /// A dictionary of one pair whose value is still to come.
    fn variant(&mut self, variant: &str) -> Result<(), EncodeError> {
        self.sink.write(&[tag::DICTIONARY])?;
        self.sink.write(&1_u32.to_be_bytes())?;
        self.key(variant)
    }
}

/// An array or dictionary being written.
#[derive(Debug)]
pub(super) struct Container<'s, 'a, S> {
    serializer: &'s mut Serializer<'a, S>,
    count_at: usize,
    count: u32,
}

impl<S: Sink> Container<'_, '_, S> {
    fn counted(&mut self) -> Result<(), EncodeError> {
        self.count = self.count.checked_add(1).ok_or(EncodeError::TooLong)?;
        Ok(())
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.counted()?;
        value.serialize(&mut *self.serializer)
    }

    fn pair<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), EncodeError> {
        self.counted()?;
        self.serializer.key(key)?;
        value.serialize(&mut *self.serializer)
    }

    fn finish(self) -> Result<(), EncodeError> {
        self.serializer.sink.patch(self.count_at, &self.count.to_be_bytes());
        Ok(())
    }
}

/// Methods that differ only in the type they take.
macro_rules! integers {
    ($($method:ident($kind:ty);)*) => {
        $(fn $method(self, value: $kind) -> Result<(), EncodeError> {
            self.integer(value)
        })*
    };
}

impl<'s, 'a, S: Sink> ser::Serializer for &'s mut Serializer<'a, S> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'s, 'a, S>;
    type SerializeTuple = Container<'s, 'a, S>;
    type SerializeTupleStruct = Container<'s, 'a, S>;
    type SerializeTupleVariant = Container<'s, 'a, S>;
    type SerializeMap = Container<'s, 'a, S>;
    type SerializeStruct = Container<'s, 'a, S>;
    type SerializeStructVariant = Container<'s, 'a, S>;

    integers! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        // Not tag 04: the original never writes it, and byte identity with the original is the point of this codec.
        self.integer(i32::from(value))
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

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        let len = u32::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
        self.sink.write(&[tag::TEXT])?;
        self.sink.write(&len.to_be_bytes())?;
        self.sink.write(value.as_bytes())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), EncodeError> {
        Err(EncodeError::Unsupported("raw bytes"))
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

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
        self.variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        self.container(tag::ARRAY)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
        self.container(tag::ARRAY)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        self.container(tag::ARRAY)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        self.variant(variant)?;
        self.container(tag::ARRAY)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        self.container(tag::DICTIONARY)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, EncodeError> {
        self.container(tag::DICTIONARY)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        self.variant(variant)?;
        self.container(tag::DICTIONARY)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.sink.write(&[tag::TEXT])?;
        let len_at = self.sink.position();
        self.sink.write(&[0; 4])?;
        pieces(value, |piece| self.sink.write(piece.as_bytes()))?;
        let len = u32::try_from(self.sink.position() - len_at - 4).map_err(|_| EncodeError::TooLong)?;
        self.sink.patch(len_at, &len.to_be_bytes());
        Ok(())
    }

    fn is_human_readable(&self) -> bool {
        // The same types must look the same in JSON and SAMIRA, so none may choose a form by this.
        true
    }
}

impl_compounds!(Container<'_, '_, S>, inline);

impl<S: Sink> ser::SerializeMap for Container<'_, '_, S> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.counted()?;
        key.serialize(KeySerializer(|key: &str| self.serializer.key(key)))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}
