//! Values to JSON text.

use core::fmt::Display;

use serde::Serialize;
use serde::ser;

use crate::bytes::Sink;
use crate::encode::{KeySerializer, impl_compounds, pieces};
use crate::error::EncodeError;
use crate::float::Repr;

/// How JSON looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As Python's `json.dumps` writes it, and so the original: see [`crate::json`].
    Original,
    /// As short as it can be: see [`super::compact`].
    Compact,
}

impl Style {
    /// Between two items or pairs.
    pub(super) const fn item_separator(self) -> &'static [u8] {
        match self {
            Self::Original => b", ",
            Self::Compact => b",",
        }
    }

    /// Behind a key.
    const fn key_separator(self) -> &'static [u8] {
        match self {
            Self::Original => b": ",
            Self::Compact => b":",
        }
    }

    /// Offset of the first byte of `text` that cannot stand in JSON as it is. Python escapes everything that is not
    /// printable ASCII, 0x7f included.
    fn position_to_escape(self, text: &str) -> Option<usize> {
        let always = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        match self {
            Self::Original => text.bytes().position(|byte| always(byte) || byte >= 0x7f),
            Self::Compact => text.bytes().position(always),
        }
    }
}

/// Writes one value in either style.
#[derive(Debug)]
pub(super) struct Serializer<'a, S> {
    sink: &'a mut S,
    style: Style,
}

impl<'a, S: Sink> Serializer<'a, S> {
    pub(super) const fn new(sink: &'a mut S, style: Style) -> Self {
        Self { sink, style }
    }

    fn display(&mut self, value: impl Display) -> Result<(), EncodeError> {
        pieces(value, |piece| self.sink.write(piece.as_bytes()))
    }

    fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        self.sink.write(b"\"")?;
        self.escaped(text)?;
        self.sink.write(b"\"")
    }

    /// The inside of a text.
    fn escaped(&mut self, text: &str) -> Result<(), EncodeError> {
        let mut rest = text;
        // Runs that need no escape go out in one piece.
        while let Some(at) = self.style.position_to_escape(rest) {
            let (plain, special) = rest.split_at(at);
            self.sink.write(plain.as_bytes())?;
            let mut characters = special.chars();
            if let Some(character) = characters.next() {
                self.escape(character)?;
            }
            rest = characters.as_str();
        }
        self.sink.write(rest.as_bytes())
    }

    fn escape(&mut self, character: char) -> Result<(), EncodeError> {
        let short = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\u{8}' => b"\\b",
            '\u{c}' => b"\\f",
            other => return other.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| self.escape_unit(*unit)),
        };
        self.sink.write(short)
    }

    fn escape_unit(&mut self, unit: u16) -> Result<(), EncodeError> {
        let digit = |shift: u32| b"0123456789abcdef"[usize::from(unit >> shift) & 15];
        self.sink.write(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)])
    }

    fn key_separator(&mut self) -> Result<(), EncodeError> {
        self.sink.write(self.style.key_separator())
    }

    fn open(&mut self, bracket: u8, close: &'static [u8]) -> Result<Container<'_, 'a, S>, EncodeError> {
        self.sink.write(&[bracket])?;
        Ok(Container { serializer: self, first: true, close })
    }

    /// An object of one pair whose value is still to come. [`Container`] closes it.
    fn variant(&mut self, variant: &str) -> Result<(), EncodeError> {
        self.sink.write(b"{")?;
        self.text(variant)?;
        self.key_separator()
    }
}

/// An array or object being written.
#[derive(Debug)]
pub(super) struct Container<'s, 'a, S> {
    serializer: &'s mut Serializer<'a, S>,
    first: bool,
    /// What ends it: its own bracket, and that of the object around an enum variant.
    close: &'static [u8],
}

impl<S: Sink> Container<'_, '_, S> {
    fn separate(&mut self) -> Result<(), EncodeError> {
        if self.first {
            self.first = false;
            Ok(())
        } else {
            self.serializer.sink.write(self.serializer.style.item_separator())
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.separate()?;
        value.serialize(&mut *self.serializer)
    }

    fn pair<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), EncodeError> {
        self.separate()?;
        self.serializer.text(key)?;
        self.serializer.key_separator()?;
        value.serialize(&mut *self.serializer)
    }

    fn finish(self) -> Result<(), EncodeError> {
        self.serializer.sink.write(self.close)
    }
}

/// Methods that differ only in the type they take.
macro_rules! integers {
    ($($method:ident($kind:ty);)*) => {
        $(fn $method(self, value: $kind) -> Result<(), EncodeError> {
            self.display(value)
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
        self.sink.write(if value { b"true" } else { b"false" })
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        if value.is_finite() {
            self.display(Repr(value))
        } else if self.style == Style::Compact {
            Err(EncodeError::Unsupported("number that is not finite"))
        } else if value.is_nan() {
            self.sink.write(b"NaN")
        } else {
            self.sink.write(if value > 0.0 { b"Infinity" } else { b"-Infinity" })
        }
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.text(value)
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
        self.sink.write(b"null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        self.text(variant)
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
        value.serialize(&mut *self)?;
        self.sink.write(b"}")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        self.open(b'[', b"]")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
        self.open(b'[', b"]")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        self.open(b'[', b"]")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        self.variant(variant)?;
        self.open(b'[', b"]}")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        self.open(b'{', b"}")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, EncodeError> {
        self.open(b'{', b"}")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        self.variant(variant)?;
        self.open(b'{', b"}}")
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.sink.write(b"\"")?;
        pieces(value, |piece| self.escaped(piece))?;
        self.sink.write(b"\"")
    }
}

impl_compounds!(Container<'_, '_, S>, inline);

impl<S: Sink> ser::SerializeMap for Container<'_, '_, S> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.separate()?;
        key.serialize(KeySerializer(|key: &str| self.serializer.text(key)))?;
        self.serializer.key_separator()
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}
