//! How much fits a reply.

use serde::Serialize;
use wire::codec::Codec;
use wire::legacy::reply::{Chat, Message, Placeholder};
use wire::limits::LEGACY_REPLY_BYTES_MAX;

use crate::limits::GRPC_LIST_BYTES_MAX;

/// Bytes of a protocol buffer around the texts of an item, at most: its own tag and length, those of its texts, and
/// its numbers.
const CALL_ITEM_BYTES: usize = 40;

/// What a reply will be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// What the original's socket clients read in one piece.
    Socket(Codec),
    /// A protocol buffer of the original's gRPC package.
    Call,
}

impl Form {
    pub(super) const fn bytes_max(self) -> usize {
        match self {
            Form::Socket(_) => LEGACY_REPLY_BYTES_MAX,
            Form::Call => GRPC_LIST_BYTES_MAX,
        }
    }

    /// More messages than fit: in a socket's reply each takes more than a hundred bytes, in a call's the bytes around its
    /// texts and time.
    pub(super) const fn messages_max(self) -> u32 {
        match self {
            Form::Socket(_) => 20,
            Form::Call => (GRPC_LIST_BYTES_MAX / CALL_ITEM_BYTES) as u32,
        }
    }

    /// More characters of a text than fit: each takes a byte.
    pub(super) const fn text_chars_max(self) -> u32 {
        self.bytes_max() as u32
    }

    /// More conversations than fit: in a socket's reply each takes fifty bytes and more.
    pub(super) const fn chats_max(self) -> u32 {
        match self {
            Form::Socket(_) => 40,
            Form::Call => (GRPC_LIST_BYTES_MAX / CALL_ITEM_BYTES) as u32,
        }
    }

    /// More names than fit: in a socket's reply each takes five bytes and more.
    pub(super) const fn names_max(self) -> usize {
        match self {
            Form::Socket(_) => 400,
            Form::Call => GRPC_LIST_BYTES_MAX / CALL_ITEM_BYTES,
        }
    }
}

/// Something in a list.
pub(crate) trait Item: Serialize {
    /// Bytes of its texts.
    fn text_len(&self) -> usize;
}

impl Item for Message<&str> {
    fn text_len(&self) -> usize {
        self.sender.len() + self.content.len() + self.timestamp.len()
    }
}

impl Item for Placeholder<&str> {
    fn text_len(&self) -> usize {
        self.sender.len() + self.content.len()
    }
}

impl Item for Chat<&str> {
    fn text_len(&self) -> usize {
        self.chat_id.len() + self.other_user.len()
    }
}

impl Item for &String {
    fn text_len(&self) -> usize {
        self.len()
    }
}

/// Room in a reply for the items of its list.
#[derive(Debug)]
pub(crate) struct Room {
    form: Form,
    left: usize,
    /// Items taken; each but the first has a separator in front of it.
    items: usize,
    whole: usize,
}

impl Room {
    /// The room that `reply`, whose list is still empty, leaves.
    pub(super) fn beside<T: Serialize>(form: Form, reply: &T) -> Room {
        let taken = match form {
            Form::Socket(codec) => encoded_len(codec, reply),
            Form::Call => 0,
        };
        let left = form.bytes_max().saturating_sub(taken);
        Room { form, left, items: 0, whole: left }
    }

    /// The room of a call's reply.
    pub(crate) fn of_call() -> Room {
        Room::beside(Form::Call, &())
    }

    /// Whether an item fits behind those taken so far.
    pub(super) fn fits<T: Item>(&self, item: &T) -> bool {
        self.needed(item) <= self.left
    }

    /// Takes an item in if it fits.
    pub(super) fn take<T: Item>(&mut self, item: &T) -> bool {
        let Some(left) = self.left.checked_sub(self.needed(item)) else { return false };
        self.left = left;
        self.items += 1;
        true
    }

    /// Gives back the room of an item that was taken.
    pub(super) fn put_back<T: Item>(&mut self, item: &T) {
        self.items -= 1;
        self.left += self.needed(item);
    }

    fn needed<T: Item>(&self, item: &T) -> usize {
        let separator = match self.form {
            Form::Socket(codec) if self.items > 0 => codec.separator_len(),
            _ => 0,
        };
        separator + self.alone(item)
    }

    fn alone<T: Item>(&self, item: &T) -> usize {
        match self.form {
            Form::Socket(codec) => encoded_len(codec, item),
            Form::Call => item.text_len() + CALL_ITEM_BYTES,
        }
    }

    /// Whether an item would fit if it were the only one.
    pub(super) fn could_hold<T: Item>(&self, item: &T) -> bool {
        self.alone(item) <= self.whole
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// As many of `items` as fit, from the first on. One that would not even fit alone is left out.
    pub(crate) fn fill<T: Item>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut taken = Vec::new();
        for item in items {
            if self.take(&item) {
                taken.push(item);
            } else if self.could_hold(&item) {
                break;
            }
        }
        taken
    }
}

fn encoded_len<T: Serialize + ?Sized>(codec: Codec, value: &T) -> usize {
    codec.encoded_len(value).expect("replies hold texts, lists and numbers of 31 bits, which all encode")
}
