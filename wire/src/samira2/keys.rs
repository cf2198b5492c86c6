//! Keys of dictionaries: the protocol's own names as one byte, all others as text.
//!
//! | first byte | key |
//! |---|---|
//! | `00` to `df` | the name at this index of [`KEYS`] |
//! | `e0` to `fe` | text of 0 to 30 bytes, which follow as UTF-8 |
//! | `ff` | varint `n`, then `31 + n` bytes of UTF-8 |
//!
//! [`KEYS`] only grows at its end. A name that is in the table is written by its index. On the way in it may come as text as
//! well: so writes a peer whose table is older. An index behind the end is a name that only a newer peer knows; it stands
//! for [`UNKNOWN`], and its value is skipped as that of any other unknown key.

/// Names with an index, in its order. Only append.
pub const KEYS: &[&str] = &[
    // The original's messages.
    "id",
    "sender",
    "content",
    "timestamp",
    "read",
    "messages",
    "error_message",
    "success",
    "chats",
    "chat_id",
    "other_user",
    "unread_count",
    "usernames",
    "total_pages",
    "users",
    "receiver",
    "user_id",
    "nickname",
    "view_limit",
    "username",
    "password",
    "action",
    "exclude_username",
    "new_limit",
    "message_limit",
    "current_user",
    "search_pattern",
    "page",
    "current_page",
    "users_per_page",
    "message_indices",
    "chat_ids",
    "client_id",
    "message",
    "status",
    "stale",
    "limit",
    "chat",
    // The envelopes of our own dialect, and its requests, replies and events.
    "re",
    "hello",
    "signup",
    "login",
    "resume",
    "logout",
    "ping",
    "sync",
    "conversations",
    "open",
    "next",
    "history",
    "send",
    "delete",
    "clear",
    "mark",
    "typing",
    "watch",
    "account",
    "devices",
    "revoke",
    "delete_account",
    "error",
    "done",
    "welcome",
    "session",
    "changes",
    "opened",
    "sent",
    "removed",
    "profile",
    "lost",
    "deleted",
    "conversation",
    "person",
    "presence",
    "nodes",
    "update",
    "bye",
    // What they are made of.
    "number",
    "time_ms",
    "text",
    "seq",
    "samira",
    "client",
    "device",
    "device_name",
    "token",
    "cursor",
    "skip",
    "after",
    "before",
    "numbers",
    "upto",
    "marks",
    "on",
    "pattern",
    "new_password",
    "confirm",
    "code",
    "retry_ms",
    "cluster",
    "node",
    "silence_ms",
    "text_max",
    "pipeline",
    "user",
    "last_seq",
    "people",
    "more",
    "resync",
    "count",
    "total",
    "unread",
    "members",
    "last_number",
    "cleared",
    "behind",
    "newest",
    "delivered",
    "gone",
    "created_ms",
    "seen_ms",
    "own",
    "name",
    "address",
    "leader",
    "summary",
    "online",
    "life",
];

/// What an index behind the end of the table is called: no message has such a key.
pub const UNKNOWN: &str = "?";

/// First bytes below this are an index.
pub(super) const INLINE: u8 = 0xe0;
/// Text whose length is behind this byte.
pub(super) const LONG: u8 = 0xff;
/// The first length behind [`LONG`].
pub(super) const LONG_BASE: u64 = (LONG - INLINE) as u64;

const _: () = assert!(KEYS.len() <= INLINE as usize, "an index is one byte below those of text");

/// The name at `index`, as long as that is below [`INLINE`].
#[inline]
pub(crate) fn name(index: u8) -> &'static str {
    KEYS.get(usize::from(index)).copied().unwrap_or(UNKNOWN)
}

/// The index of `key`, if it has one. Two multiplications, two loads and one comparison; where `key` is a literal and this
/// is inlined, the compiler does them.
#[inline(always)]
pub(crate) fn index(key: &str) -> Option<u8> {
    let sample = sample(key.as_bytes())?;
    let index = TABLE.indices[slot(sample, TABLE.factors[bucket(sample)])];
    (*KEYS.get(usize::from(index))? == key).then_some(index)
}

/// Perfect hashing: keys fall into buckets, and each bucket has a factor that sends its keys to slots of their own.
struct Table {
    factors: [u32; BUCKETS],
    /// Indices of [`KEYS`]; [`FREE`] in empty slots.
    indices: [u8; SLOTS],
}

const BUCKETS: usize = 64;
const SLOTS: usize = 256;
/// No index: those end at [`INLINE`].
const FREE: u8 = u8::MAX;
/// 2^32 divided by the golden ratio: its multiples spread evenly.
const SPREAD: u32 = 0x9e37_79b9;

/// A constant rather than a static, so that other crates see into it when they compile a literal's lookup.
const TABLE: &Table = &build();

/// Three bytes of a key and its length, which differ for any two names of the table: [`build`] would find no place for
/// them otherwise.
#[inline(always)]
const fn sample(key: &[u8]) -> Option<u32> {
    let len = key.len();
    if len == 0 {
        return None;
    }
    let (first, middle, last) = (key[0], key[len / 2], key[len - 1]);
    Some(u32::from_le_bytes([first, middle, last, len as u8]))
}

#[inline(always)]
const fn bucket(sample: u32) -> usize {
    (sample.wrapping_mul(SPREAD) >> 26) as usize
}

#[inline(always)]
const fn slot(sample: u32, factor: u32) -> usize {
    (sample.wrapping_mul(factor) >> 24) as usize
}

/// Finds the factors. A name that cannot be told from another by its [`sample`] fails the compilation.
const fn build() -> Table {
    let mut table = Table { factors: [0; BUCKETS], indices: [FREE; SLOTS] };
    let mut sizes = [0; BUCKETS];
    let mut index = 0;
    while index < KEYS.len() {
        let Some(sample) = sample(KEYS[index].as_bytes()) else { panic!("an empty name has no index") };
        sizes[bucket(sample)] += 1;
        index += 1;
    }
    // Full buckets first, while there is most room.
    let mut size = KEYS.len();
    while size > 0 {
        let mut number = 0;
        while number < BUCKETS {
            if sizes[number] == size {
                table = place(table, number);
            }
            number += 1;
        }
        size -= 1;
    }
    table
}

/// Gives each key of a bucket a free slot.
const fn place(table: Table, number: usize) -> Table {
    let mut attempt: u32 = 0;
    'attempts: while attempt < 4096 {
        attempt += 1;
        let factor = SPREAD.wrapping_mul(2 * attempt + 1);
        let mut indices = table.indices;
        let mut index = 0;
        while index < KEYS.len() {
            let Some(sample) = sample(KEYS[index].as_bytes()) else { panic!("an empty name has no index") };
            if bucket(sample) == number {
                let slot = slot(sample, factor);
                if indices[slot] != FREE {
                    continue 'attempts;
                }
                indices[slot] = index as u8;
            }
            index += 1;
        }
        let mut factors = table.factors;
        factors[number] = factor;
        return Table { factors, indices };
    }
    panic!("two names have the same sample: take another byte of them into it")
}
