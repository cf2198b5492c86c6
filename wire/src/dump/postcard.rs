//! A walk over a value along the bytes that postcard made of it. Postcard does not describe itself, so the value's
//! own structure says what each byte is.

use alloc::format;
use core::fmt::{self, Display};

use serde::Serialize;
use serde::ser::{self, Impossible};

use super::{Row, Rows};

/// Annotates the bytes of `value`, which come next in `rows`.
pub(super) fn walk<T: Serialize + ?Sized>(rows: &mut Rows<'_>, value: &T) -> Result<(), Unknown> {
    value.serialize(&mut Walker { rows })
}

/// A value that replication messages do not contain, or bytes that are not this value's.
#[derive(Debug)]
pub(super) struct Unknown;

impl Display for Unknown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no replication value")
    }
}

impl core::error::Error for Unknown {}

impl ser::Error for Unknown {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

struct Walker<'r, 'a> {
    rows: &'r mut Rows<'a>,
}

impl Walker<'_, '_> {
    /// A piece that postcard writes on its own as it writes it inside.
    fn leaf<T: Serialize + ?Sized>(&mut self, value: &T, shown: impl Display) -> Result<(), Unknown> {
        let bytes = postcard::to_allocvec(value).map_err(|_| Unknown)?;
        if !self.rows.rest().starts_with(&bytes) {
            return Err(Unknown);
        }
        self.rows.take(bytes.len(), shown);
        Ok(())
    }

    fn variant(&mut self, index: u32, variant: &str) -> Result<(), Unknown> {
        self.leaf(&index, format_args!("variant {variant}"))
    }
}

/// What is shown of a single byte, so that [`List::end`] finds it again.
const BYTE: &str = "byte ";

/// Items of a list, tuple or tuple variant.
struct List<'w, 'r, 'a> {
    walker: &'w mut Walker<'r, 'a>,
    index: usize,
    /// Row of the first item.
    first: usize,
}

impl List<'_, '_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
        let index = self.index;
        self.index += 1;
        self.walker.rows.item(index, |rows| walk(rows, value))
    }

    /// Joins the rows of a list of bytes: a checksum is one thing.
    fn finish(self) -> Result<(), Unknown> {
        let rows = &mut *self.walker.rows;
        let items = &rows.rows[self.first..];
        if self.index > 1 && items.iter().all(|row| row.value.starts_with(BYTE)) {
            let joined = Row {
                start: items[0].start,
                len: items.len(),
                field: rows.field.clone(),
                value: format!("{} bytes", items.len()),
            };
            rows.rows.truncate(self.first);
            rows.rows.push(joined);
        }
        Ok(())
    }
}

/// Fields of a struct or struct variant. Postcard writes no names.
struct Fields<'w, 'r, 'a> {
    walker: &'w mut Walker<'r, 'a>,
}

impl Fields<'_, '_, '_> {
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unknown> {
        self.walker.rows.under(key, |rows| walk(rows, value))
    }
}

/// Methods that differ only in the type they take.
macro_rules! leaves {
    ($($method:ident($kind:ty);)*) => {
        $(fn $method(self, value: $kind) -> Result<(), Unknown> {
            self.leaf(&value, value)
        })*
    };
}

impl<'w, 'r, 'a> ser::Serializer for &'w mut Walker<'r, 'a> {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = List<'w, 'r, 'a>;
    type SerializeTuple = List<'w, 'r, 'a>;
    type SerializeTupleStruct = List<'w, 'r, 'a>;
    type SerializeTupleVariant = List<'w, 'r, 'a>;
    type SerializeMap = Impossible<(), Unknown>;
    type SerializeStruct = Fields<'w, 'r, 'a>;
    type SerializeStructVariant = Fields<'w, 'r, 'a>;

    leaves! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unknown> {
        self.leaf(&value, format_args!("{BYTE}{value}"))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unknown> {
        self.leaf(value, format_args!("text {value:?}"))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unknown> {
        self.leaf(&value.len(), format_args!("{} bytes", value.len()))?;
        if !value.is_empty() {
            self.rows.take(value.len(), "content");
        }
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unknown> {
        self.leaf(&false, "none")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        self.leaf(&true, "some")?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unknown> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unknown> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, variant: &'static str) -> Result<(), Unknown> {
        self.variant(index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unknown> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.variant(index, variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Unknown> {
        let len = len.ok_or(Unknown)?;
        self.leaf(&len, format_args!("list of {len}"))?;
        self.serialize_tuple(len)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unknown> {
        let first = self.rows.rows.len();
        Ok(List { walker: self, index: 0, first })
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, Unknown> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Unknown> {
        self.variant(index, variant)?;
        self.serialize_tuple(len)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unknown> {
        Err(Unknown)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Unknown> {
        Ok(Fields { walker: self })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unknown> {
        self.variant(index, variant)?;
        Ok(Fields { walker: self })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Implements one of serde's containers by a method of ours.
macro_rules! container {
    ($kind:ident::$method:ident for $own:ident::item) => {
        impl ser::$kind for $own<'_, '_, '_> {
            type Ok = ();
            type Error = Unknown;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
                self.item(value)
            }

            fn end(self) -> Result<(), Unknown> {
                self.finish()
            }
        }
    };
    ($kind:ident::$method:ident for $own:ident::field) => {
        impl ser::$kind for $own<'_, '_, '_> {
            type Ok = ();
            type Error = Unknown;

            fn $method<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unknown> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), Unknown> {
                Ok(())
            }
        }
    };
}

container!(SerializeSeq::serialize_element for List::item);
container!(SerializeTuple::serialize_element for List::item);
container!(SerializeTupleStruct::serialize_field for List::item);
container!(SerializeTupleVariant::serialize_field for List::item);
container!(SerializeStruct::serialize_field for Fields::field);
container!(SerializeStructVariant::serialize_field for Fields::field);
