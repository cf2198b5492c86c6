//! Lists in messages: of any length with an allocator, of up to [`DEVICE_LIST_ITEMS_MAX`] items without one.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::DEVICE_LIST_ITEMS_MAX;

#[cfg(feature = "alloc")]
type Items<T> = alloc::vec::Vec<T>;
#[cfg(not(feature = "alloc"))]
type Items<T> = heapless::Vec<T, DEVICE_LIST_ITEMS_MAX>;

/// A list. On a device without an allocator a longer one is a decoding error: such a device asks for as much as it has
/// room for.
#[derive(Clone, PartialEq, Eq)]
pub struct List<T> {
    items: Items<T>,
}

impl<T> List<T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Items::new() }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// Gives it back if there is no room, which happens only without an allocator.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        #[cfg(feature = "alloc")]
        {
            self.items.push(item);
            Ok(())
        }
        #[cfg(not(feature = "alloc"))]
        self.items.push(item)
    }
}

#[cfg(feature = "alloc")]
impl<T> From<alloc::vec::Vec<T>> for List<T> {
    fn from(items: alloc::vec::Vec<T>) -> Self {
        Self { items }
    }
}

#[cfg(feature = "alloc")]
impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: items.into_iter().collect() }
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if cfg!(feature = "alloc") {
            f.write_str("a list")
        } else {
            write!(f, "a list of at most {DEVICE_LIST_ITEMS_MAX} items")
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        // What a sender says about the length is not believed: the list grows as items come.
        let mut list = List::new();
        while let Some(item) = items.next_element()? {
            list.push(item).map_err(|_| de::Error::invalid_length(DEVICE_LIST_ITEMS_MAX + 1, &self))?;
        }
        Ok(list)
    }
}
