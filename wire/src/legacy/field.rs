//! One value of a request, which may be anything.
//!
//! The original never checked a request's shape: what was missing or of a wrong type surfaced somewhere inside, as
//! a refusal, as success, or as a closed connection. So that the service can answer each of these in words, a wrong
//! type does not fail the decoding of the message around it; the [`Field`] says so.

use core::fmt::{self, Write as _};
use core::ops::Deref;

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::float::Repr;

/// What stands, or does not stand, under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// The key is not there.
    #[default]
    Missing,
    /// The key is there without a value.
    Null,
    /// A value this place cannot take: of another type, or a list longer than its bound.
    Wrong,
    /// A value.
    Given(T),
}

impl<T> Field<T> {
    /// The value, if there is one of the right type.
    pub const fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the key is not there at all.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// Whether there is a value this place cannot take.
    pub const fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong)
    }
}

impl Field<Text<'_>> {
    /// The text, empty if there is none: the original mostly does not tell the two apart.
    #[must_use]
    pub fn text(&self) -> &str {
        self.given().map_or("", |text| text)
    }
}

impl Field<ChatKey<'_>> {
    /// The text, empty if there is none.
    #[must_use]
    pub const fn text(&self) -> &str {
        match self {
            Self::Given(chat) => chat.id,
            _ => "",
        }
    }
}

impl<T> From<T> for Field<T> {
    fn from(value: T) -> Self {
        Self::Given(value)
    }
}

impl<'a> From<&'a str> for Field<Text<'a>> {
    fn from(text: &'a str) -> Self {
        Self::Given(Text::from(text))
    }
}

impl<'a> From<&'a str> for Field<Scalar<'a>> {
    fn from(text: &'a str) -> Self {
        Self::Given(Scalar::Text(text))
    }
}

impl<'a> From<&'a str> for Field<ChatKey<'a>> {
    fn from(id: &'a str) -> Self {
        Self::Given(ChatKey { id, in_list: false })
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Missing | Self::Null => serializer.serialize_none(),
            Self::Given(value) => value.serialize(serializer),
            // Nobody knows any more what it was.
            Self::Wrong => Err(S::Error::custom("a field of the wrong type")),
        }
    }
}

/// A type that knows which values it can take. Everything else is skipped.
pub(crate) trait FromValue<'de>: Sized {
    /// From a scalar that is not null.
    fn from_scalar(scalar: Scalar<'de>) -> Option<Self> {
        let _ = scalar;
        None
    }

    /// From a list. Items that are left over are skipped by the caller.
    fn from_list<A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Self>, A::Error> {
        let _ = list;
        Ok(None)
    }
}

impl<'de, T: FromValue<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(core::marker::PhantomData))
    }
}

struct FieldVisitor<T>(core::marker::PhantomData<T>);

impl<'de, T: FromValue<'de>> FieldVisitor<T> {
    fn scalar(scalar: Scalar<'de>) -> Field<T> {
        T::from_scalar(scalar).map_or(Field::Wrong, Field::Given)
    }
}

impl<'de, T: FromValue<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Field<T>, E> {
        Ok(Self::scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Field<T>, E> {
        Ok(Self::scalar(Scalar::Integer(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Field<T>, E> {
        // Nothing in these messages counts that far; a float says "huge" as well.
        Ok(Self::scalar(i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Field<T>, E> {
        Ok(Self::scalar(Scalar::Float(value)))
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Field<T>, E> {
        Ok(Self::scalar(Scalar::Text(value)))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Field<T>, E> {
        Ok(Field::Wrong)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Field<T>, E> {
        Ok(Field::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Field<T>, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field<T>, A::Error> {
        let value = T::from_list(&mut list)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(value.map_or(Field::Wrong, Field::Given))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }
}

/// Text, a number or a boolean, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// A boolean. SAMIRA clients send their booleans as integers.
    Bool(bool),
    /// An integer. Those beyond 64 bits arrive as floats.
    Integer(i64),
    /// A float.
    Float(f64),
    /// Text.
    Text(&'a str),
}

impl Scalar<'_> {
    /// The whole number meant: of an integer, a float without a fraction, or a text of decimal digits with an
    /// optional sign and spacing around it.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        /// From here on, not every whole number has a float of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match *self {
            Self::Bool(value) => Some(i64::from(value)),
            Self::Integer(value) => Some(value),
            Self::Float(value) if value > -EXACT && value < EXACT => {
                let whole = value as i64;
                (whole as f64 == value).then_some(whole)
            }
            Self::Float(_) => None,
            Self::Text(text) => text.trim_ascii().parse().ok(),
        }
    }

    /// Whether the original would count it as given: not empty, not zero, not false.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match *self {
            Self::Bool(value) => value,
            Self::Integer(value) => value != 0,
            Self::Float(value) => value != 0.0,
            Self::Text(text) => !text.is_empty(),
        }
    }
}

impl<'de> FromValue<'de> for Scalar<'de> {
    fn from_scalar(scalar: Self) -> Option<Self> {
        Some(scalar)
    }
}

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Bool(value) => serializer.serialize_bool(value),
            Self::Integer(value) => serializer.serialize_i64(value),
            Self::Float(value) => serializer.serialize_f64(value),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl FromValue<'_> for i64 {
    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Text(_) => None,
            number => number.whole(),
        }
    }
}

/// Bytes of the longest number's text form.
const NUMBER_BYTES_MAX: usize = 32;

/// Text, or another scalar with the text that the original makes of it: `77`, `True`, `2.5`. What counts as not
/// given there (`0`, `False`, `0.0`) reads as the empty text.
///
/// It is written back as the scalar it was. Its `Debug` form shows only a length: it may be a password.
#[derive(Clone, PartialEq)]
pub struct Text<'a>(Form<'a>);

#[derive(Clone, PartialEq)]
enum Form<'a> {
    Sent(&'a str),
    Made { from: Scalar<'a>, text: heapless::String<NUMBER_BYTES_MAX> },
}

impl<'a> Text<'a> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Sent(text) => text,
            Form::Made { text, .. } => text,
        }
    }

    fn made(from: Scalar<'a>) -> Self {
        let mut text = heapless::String::new();
        if from.is_truthy() {
            match from {
                Scalar::Bool(_) => text.write_str("True"),
                Scalar::Integer(value) => write!(text, "{value}"),
                Scalar::Float(value) if value.is_finite() => write!(text, "{}", Repr(value)),
                Scalar::Float(value) => write!(text, "{value}").map(|()| text.make_ascii_lowercase()),
                Scalar::Text(value) => return Self(Form::Sent(value)),
            }
            .expect("every number's text form fits NUMBER_BYTES_MAX");
        }
        Self(Form::Made { from, text })
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Text({} bytes)", self.len())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Form::Sent(text))
    }
}

impl From<i64> for Text<'_> {
    fn from(value: i64) -> Self {
        Self::made(Scalar::Integer(value))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<'de> FromValue<'de> for Text<'de> {
    fn from_scalar(scalar: Scalar<'de>) -> Option<Self> {
        Some(match scalar {
            Scalar::Text(text) => Self::from(text),
            other => Self::made(other),
        })
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Sent(text) => serializer.serialize_str(text),
            Form::Made { from, .. } => from.serialize(serializer),
        }
    }
}

/// A conversation's text id, bare or as the first item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatKey<'a> {
    /// The id.
    pub id: &'a str,
    /// Whether it came in a list.
    pub in_list: bool,
}

impl<'de> FromValue<'de> for ChatKey<'de> {
    fn from_scalar(scalar: Scalar<'de>) -> Option<Self> {
        match scalar {
            Scalar::Text(id) => Some(Self { id, in_list: false }),
            _ => None,
        }
    }

    fn from_list<A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(match list.next_element()? {
            Some(Field::Given(Scalar::Text(id))) => Some(Self { id, in_list: true }),
            _ => None,
        })
    }
}

impl Serialize for ChatKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.in_list { [self.id].serialize(serializer) } else { self.id.serialize(serializer) }
    }
}

/// Numbers.
impl<'de, const N: usize> FromValue<'de> for heapless::Vec<i64, N> {
    fn from_list<A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Self>, A::Error> {
        collect(list, |scalar| match scalar {
            Scalar::Integer(number) => Some(number),
            _ => None,
        })
    }
}

/// Texts.
impl<'de, const N: usize> FromValue<'de> for heapless::Vec<&'de str, N> {
    fn from_list<A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Self>, A::Error> {
        collect(list, |scalar| match scalar {
            Scalar::Text(text) => Some(text),
            _ => None,
        })
    }
}

/// Takes all items of a list, or none if one of them is of another type or there are too many.
fn collect<'de, A: SeqAccess<'de>, T, const N: usize>(
    list: &mut A,
    convert: impl Fn(Scalar<'de>) -> Option<T>,
) -> Result<Option<heapless::Vec<T, N>>, A::Error> {
    let mut items = heapless::Vec::new();
    while let Some(item) = list.next_element::<Field<Scalar<'de>>>()? {
        let Some(item) = item.given().copied().and_then(&convert) else { return Ok(None) };
        if items.push(item).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(items))
}
