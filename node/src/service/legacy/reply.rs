//! From results to bytes.

use std::borrow::Cow;

use serde::Serialize;
use wire::codec::Codec;
use wire::legacy::reply::{Outcome as Answer, Shown};
use wire::legacy::text;
use wire::limits::LEGACY_REPLY_BYTES_MAX;
use wire::replication::command::{Outcome, Refusal};

use crate::raft::propose::ProposeError;

/// Characters of a cluster's condition that a user is told: it lists servers, and there may be many.
const CONDITION_CHARS_MAX: usize = 300;

/// A text for a user.
pub(super) type Said = Cow<'static, str>;

/// Encodes a reply.
pub(super) fn encode<T: Serialize + ?Sized>(codec: Codec, reply: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_to_vec(reply, &mut bytes).expect("replies hold texts, lists and numbers of 31 bits, which all encode");
    bytes
}

/// The reply to a request without data that was done.
pub(super) fn done(codec: Codec) -> Vec<u8> {
    encode(codec, &Answer::done())
}

/// The reply to a request that is refused.
pub(super) fn refused(codec: Codec, why: &str) -> Vec<u8> {
    encode(codec, &Answer::refused(why))
}

/// The reply to a write that has no data to tell.
pub(super) fn of_write(codec: Codec, result: &Result<Outcome, ProposeError>) -> Vec<u8> {
    match result {
        Ok(Outcome::Refused(refusal)) => refused(codec, &refusal_text(refusal)),
        Ok(_) => done(codec),
        Err(error) => refused(codec, &error_text(error)),
    }
}

/// What a user is told about a refusal.
pub(super) fn refusal_text(refusal: &Refusal) -> Said {
    match refusal {
        Refusal::NameTaken => text::USERNAME_TAKEN.into(),
        Refusal::NoSuchUser => text::ACCOUNT_GONE.into(),
        Refusal::NoSuchConversation => text::NO_SUCH_CHAT.into(),
        Refusal::PeerGone { name } => text::PeerGone(name).to_string().into(),
        Refusal::NotYours => text::NOT_YOUR_MESSAGE.into(),
        // None of these comes of a request that passed the service, or of a run numbered by the proposer.
        Refusal::CodeUnknown
        | Refusal::CodeExpired
        | Refusal::CodeUsed
        | Refusal::Malformed
        | Refusal::SequenceGap
        | Refusal::StaleEpoch
        | Refusal::AlreadyApplied
        | Refusal::NodeRemoved
        | Refusal::DeviceGone
        | Refusal::DeviceExists
        | Refusal::TokenUnknown
        | Refusal::TokenReused
        | Refusal::DeviceSequenceGap => text::REFUSED.into(),
    }
}

/// What a user is told about a write without an outcome: whether it is stored, as far as anybody knows.
pub(super) fn error_text(error: &ProposeError) -> Said {
    match error {
        ProposeError::Overloaded => text::BUSY.into(),
        ProposeError::NotStored { missing } => text::NotStored(condition(missing)).to_string().into(),
        ProposeError::Unknown { missing } => text::OutcomeUnknown(condition(missing)).to_string().into(),
        ProposeError::Stopping => text::STOPPING.into(),
    }
}

fn condition(missing: &str) -> &str {
    missing.char_indices().nth(CONDITION_CHARS_MAX).map_or(missing, |(end, _)| &missing[..end])
}

/// A number in the 31 bits that SAMIRA carries.
pub(super) fn small(number: u64) -> i64 {
    (number & 0x7fff_ffff) as i64
}

/// Room in a reply for the items of its list.
#[derive(Debug)]
pub(super) struct Room {
    codec: Codec,
    left: usize,
    /// Items taken; each but the first has a separator in front of it.
    items: usize,
    whole: usize,
}

impl Room {
    /// The room that `reply`, whose list is still empty, leaves.
    pub(super) fn beside<T: Serialize>(codec: Codec, reply: &T) -> Room {
        let left = LEGACY_REPLY_BYTES_MAX.saturating_sub(encoded_len(codec, reply));
        Room { codec, left, items: 0, whole: left }
    }

    /// Whether an item fits behind those taken so far.
    pub(super) fn fits<T: Serialize>(&self, item: &T) -> bool {
        self.needed(item) <= self.left
    }

    /// Takes an item in if it fits.
    pub(super) fn take<T: Serialize>(&mut self, item: &T) -> bool {
        let Some(left) = self.left.checked_sub(self.needed(item)) else { return false };
        self.left = left;
        self.items += 1;
        true
    }

    /// Gives back the room of an item that was taken.
    pub(super) fn put_back<T: Serialize>(&mut self, item: &T) {
        self.items -= 1;
        self.left += self.needed(item);
    }

    fn needed<T: Serialize>(&self, item: &T) -> usize {
        let separator = if self.items == 0 { 0 } else { self.codec.separator_len() };
        separator + encoded_len(self.codec, item)
    }

    /// Whether an item would fit if it were the only one.
    pub(super) fn could_hold<T: Serialize>(&self, item: &T) -> bool {
        encoded_len(self.codec, item) <= self.whole
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// As many of `items` as fit, from the first on. One that would not even fit alone is left out.
    pub(super) fn fill<T: Serialize>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
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

/// A name as others see it once its account is gone.
pub(super) fn shown_name(name: &str, live: bool) -> String {
    if live { name.to_owned() } else { format!("{name} (deleted)") }
}

/// The last reply to bytes that are no message.
pub(super) fn malformed(codec: Codec, error: wire::DecodeError) -> Vec<u8> {
    encode(codec, &Answer::refused(Shown(text::Malformed(error))))
}
