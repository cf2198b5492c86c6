//! What both encoders share: keys are text and nothing else, displayed text goes out piece by piece, and the many
//! kinds of serde containers come down to arrays of items and dictionaries of pairs.

use core::fmt::{self, Display, Write as _};

use serde::Serialize;
use serde::ser::{self, Impossible};

use crate::error::EncodeError;

/// Hands the text of a key to the codec's own writer and refuses everything that is not text.
pub(crate) struct KeySerializer<F>(pub(crate) F);

/// The serde methods that are no key.
macro_rules! no_key {
    ($($method:ident($($kind:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<$result, EncodeError> {
            Err(EncodeError::KeyNotText)
        })*
    };
}

impl<F: FnOnce(&str) -> Result<(), EncodeError>> ser::Serializer for KeySerializer<F> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Impossible<(), EncodeError>;
    type SerializeTuple = Impossible<(), EncodeError>;
    type SerializeTupleStruct = Impossible<(), EncodeError>;
    type SerializeTupleVariant = Impossible<(), EncodeError>;
    type SerializeMap = Impossible<(), EncodeError>;
    type SerializeStruct = Impossible<(), EncodeError>;
    type SerializeStructVariant = Impossible<(), EncodeError>;

    fn serialize_str(self, key: &str) -> Result<(), EncodeError> {
        (self.0)(key)
    }

    fn serialize_char(self, key: char) -> Result<(), EncodeError> {
        (self.0)(key.encode_utf8(&mut [0; 4]))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        (self.0)(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, key: &T) -> Result<(), EncodeError> {
        key.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<(), EncodeError> {
        // Its length would have to be known before its bytes; no message of ours has such a key.
        Err(EncodeError::KeyNotText)
    }

    no_key! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

/// Feeds the pieces of a [`Display`]ed text to `write` and returns its error.
pub(crate) fn pieces(
    value: impl Display,
    write: impl FnMut(&str) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    struct Pieces<F> {
        write: F,
        error: Option<EncodeError>,
    }

    impl<F: FnMut(&str) -> Result<(), EncodeError>> fmt::Write for Pieces<F> {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            (self.write)(piece).map_err(|error| {
                self.error = Some(error);
                fmt::Error
            })
        }
    }

    let mut pieces = Pieces { write, error: None };
    write!(pieces, "{value}").map_err(|fmt::Error| pieces.error.unwrap_or(EncodeError::Invalid))
}

/// Implements serde's containers, except maps, for the container of the calling module, which writes into a sink `S`. How
/// eagerly their methods are inlined is the module's choice.
macro_rules! impl_compounds {
    ($container:ty, $inline:meta) => {
        impl_compounds!($container, $inline, SerializeSeq::serialize_element());
        impl_compounds!($container, $inline, SerializeTuple::serialize_element());
        impl_compounds!($container, $inline, SerializeTupleStruct::serialize_field());
        impl_compounds!($container, $inline, SerializeTupleVariant::serialize_field());
        impl_compounds!($container, $inline, SerializeStruct::serialize_field(key));
        impl_compounds!($container, $inline, SerializeStructVariant::serialize_field(key));
    };
    ($container:ty, $inline:meta, $kind:ident::$method:ident($($key:ident)?)) => {
        impl<S: Sink> ser::$kind for $container {
            type Ok = ();
            type Error = EncodeError;

            #[$inline]
            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($key: &'static str,)?
                value: &T,
            ) -> Result<(), EncodeError> {
                impl_compounds!(@write self, value $(, $key)?)
            }

            #[$inline]
            fn end(self) -> Result<(), EncodeError> {
                self.finish()
            }
        }
    };
    (@write $container:ident, $value:ident) => {
        $container.item($value)
    };
    (@write $container:ident, $value:ident, $key:ident) => {
        $container.pair($key, $value)
    };
}
pub(crate) use impl_compounds;
