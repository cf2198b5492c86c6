//! The connections of the poll thread, by slot. Empty slots are used again under a new generation, so that a late
//! reply can never reach the wrong client.

use super::connection::Connection;
use crate::bridge::ConnId;

/// One place for a connection. Boxed: a burst of clients that has left costs 16 bytes each.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Table {
    /// The id the next [`Table::insert`] will use.
    pub(super) fn next_id(&self) -> ConnId {
        match self.free.last() {
            Some(&slot) => ConnId { slot, generation: self.slots[slot as usize].generation },
            None => {
                ConnId { slot: u32::try_from(self.slots.len()).expect("fewer descriptors than 2^32"), generation: 0 }
            }
        }
    }

    /// Adds a connection under its own id, which must be [`Table::next_id`].
    pub(super) fn insert(&mut self, connection: Connection) {
        let id = connection.id();
        assert_eq!(id, self.next_id(), "a connection is entered under the id it was made for");
        if self.free.pop().is_none() {
            self.slots.push(Slot::default());
        }
        self.slots[id.slot as usize].connection = Some(Box::new(connection));
    }

    /// The connection in a slot, whoever it is.
    pub(super) fn at(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.connection.as_deref_mut()
    }

    /// The connection of this id, if it is still there.
    pub(super) fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.at(id.slot).filter(|connection| connection.id() == id)
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Box<Connection>> {
        let place = self.slots.get_mut(slot as usize)?;
        let connection = place.connection.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        Some(connection)
    }

    /// Slots in use.
    pub(super) fn slots(&self) -> Vec<u32> {
        (0u32..).zip(&self.slots).filter(|(_, slot)| slot.connection.is_some()).map(|(index, _)| index).collect()
    }
}
