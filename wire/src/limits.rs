//! Every bound that a peer or a client can run into: the number, its unit, and why it is that number.
//!
//! Relations between bounds are asserted at compile time at the end of the file.

// ---- what clients send -------------------------------------------------------------------------------------

/// Bytes of UTF-8 in one message's text.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 64 << 10;

/// Characters in a user name or a nickname.
pub const NAME_CHARS_MAX: usize = 64;

/// Combining marks on one letter of a new name, one after another. Technical Standard #39 has the number; more of them cover
/// the lines around.
pub const NAME_MARKS_IN_A_ROW_MAX: usize = 4;

/// Bytes of a key that is made of a name: some characters fold to eighteen.
pub const NAME_KEY_BYTES_MAX: usize = 8 << 10;

/// How long the name of a deleted account is nobody's, milliseconds: longer than a letter to its old owner lies in an outbox
/// or in somebody's memory. Part of the replicated rules: another number is another rule level.
pub const NAME_REST_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Bytes of a password on the wire: the hexadecimal SHA-256 of what was typed.
pub const PASSWORD_DIGITS: usize = 64;

/// Bytes of the password text on the wire. Clients send 64 hexadecimal digits; the rest is slack for hand-written ones.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Bytes of one request in JSON or SAMIRA/1: a full message text with every character escaped (six bytes each) and
/// room for the other keys.
pub const REQUEST_BYTES_MAX: usize = 512 << 10;

/// Nested arrays and objects in one request. The original's own messages nest three deep.
pub const DEPTH_MAX: usize = 16;

/// Indices in one `delete_messages` request. A reply of [`LEGACY_REPLY_BYTES_MAX`] shows at most 17 messages; the rest
/// is slack for a window that was open while the conversation moved on.
pub const DELETE_INDICES_MAX: usize = 128;

/// Ids in one `delete_chats` request. A reply of [`LEGACY_REPLY_BYTES_MAX`] lists at most 34 conversations.
pub const DELETE_CHATS_MAX: usize = 64;

/// Bytes of one reply in JSON or SAMIRA/1: clients of the original protocol read a reply with one `recv` of this size.
pub const LEGACY_REPLY_BYTES_MAX: usize = 2048;

/// Largest view limit (unread messages handed over at a time) that can be set.
pub const VIEW_LIMIT_MAX: u32 = 100_000;

/// The view limit of a new account.
pub const VIEW_LIMIT_DEFAULT: u32 = 6;

/// Bytes of a user search pattern.
pub const SEARCH_PATTERN_BYTES_MAX: usize = 256;

// ---- our own dialect ---------------------------------------------------------------------------------------

/// The newest version of our own dialect, and the only one so far.
pub const CHAT_VERSION: u64 = 2;

/// The oldest version that is still spoken. Version 1 is the original's own protocols.
pub const CHAT_VERSION_MIN: u64 = 2;

/// Bytes of a token: 64 bits that name it and more randomness than anybody can guess.
pub const TOKEN_BYTES: usize = 24;

/// Bytes of a client's frame: a full message text and room for everything else, in SAMIRA/2. In JSON/2 the bound is
/// [`REQUEST_BYTES_MAX`], because every character of a text may be escaped.
pub const CLIENT_FRAME_BYTES_MAX: usize = MESSAGE_TEXT_BYTES_MAX + (8 << 10);

/// Bytes of a node's frame in SAMIRA/2: several full message texts.
pub const NODE_FRAME_BYTES_MAX: usize = 256 << 10;

/// Bytes of a node's frame in JSON/2: the same with every character escaped (six bytes each).
pub const NODE_FRAME_JSON_BYTES_MAX: usize = 6 * NODE_FRAME_BYTES_MAX;

/// Bytes of content at which a node stops adding items to a list; one more item of any legal size fits the frame.
pub const REPLY_CONTENT_BYTES_MAX: usize = 128 << 10;

/// Messages, or changes of any kind, in one reply.
pub const MESSAGES_PER_REPLY_MAX: usize = 500;

/// Conversations in one reply.
pub const CONVERSATIONS_PER_REPLY_MAX: usize = 200;

/// People in one reply.
pub const PEOPLE_PER_REPLY_MAX: usize = 200;

/// Bytes of the text in a conversation's summary.
pub const PREVIEW_BYTES_MAX: usize = 256;

/// Requests of one connection that may be open at once.
pub const PIPELINE_MAX: usize = 512;

/// Numbers in one deletion, marks in one request.
pub const ITEMS_PER_REQUEST_MAX: usize = 128;

/// People whose presence one connection may watch: all that a long list of conversations shows.
pub const WATCHED_MAX: usize = 512;

/// Bytes of what a client or device calls itself.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;

/// Devices of one user; the one that has been silent longest makes room for a new one.
pub const DEVICES_PER_USER_MAX: usize = 32;

/// Addresses from which clients of the original's gRPC package may act for one user; the one whose time ends first makes
/// room for a new one.
pub const ADDRESSES_PER_USER_MAX: usize = 32;

/// A connection that has been silent for this long is closed by either side, milliseconds. Half of it is the time to send
/// a ping: a phone's radio sleeps meanwhile, and a router keeps the connection in its table.
pub const SILENCE_MS_MAX: u64 = 120_000;

/// The shortest silence a client lets a node ask for, milliseconds: a node with odd ideas must not keep a battery busy.
pub const SILENCE_MS_MIN: u64 = 2_000;

/// A client gives a connection up when a request has been open for this long, milliseconds: twice as long as a node
/// holds a write back for want of a majority, and enough for the largest frame over 128 kbit/s.
pub const REPLY_TIMEOUT_MS: u64 = 20_000;

/// How long a client waits before it sends refused writes again, the first time, milliseconds: an election at this
/// cluster's speed is over by then more often than not. Doubled each time nothing was taken.
pub const WRITE_BACKOFF_MS_MIN: u64 = 50;

/// The longest such wait, milliseconds, unless the node asks for a longer one.
pub const WRITE_BACKOFF_MS_MAX: u64 = 5_000;

/// The longest wait a client grants to a node that asks for one, milliseconds: users look at a queued message meanwhile.
pub const RETRY_MS_MAX: u64 = 60_000;

/// The longest wait after all known nodes were tried in vain once, milliseconds. Doubled with each round.
pub const RECONNECT_MS_MIN: u64 = 100;

/// The longest wait between two rounds over all known nodes, milliseconds. A connection that was lost sooner than this
/// after it was made counts as failed, so that a node which takes everybody in and drops them is not dialled in a loop.
pub const RECONNECT_MS_MAX: u64 = 5_000;

/// Addresses a client knows at once, unless it chooses otherwise.
pub const CANDIDATES_MAX: usize = 16;

/// Bytes of a node's address, unless a client chooses otherwise: the longest DNS name, a colon and a port.
pub const ADDRESS_BYTES_MAX: usize = 253 + 6;

/// How long somebody who types is shown as typing without saying so again, milliseconds.
pub const TYPING_TTL_MS: u64 = 6_000;

/// Items of a list on a device without an allocator.
pub const DEVICE_LIST_ITEMS_MAX: usize = 16;

// ---- first bytes on the client port ------------------------------------------------------------------------

/// First and only byte of a TCP connection that one node holds to another in order to notice its death at once. It tells
/// nothing and is answered with nothing.
pub const WATCH_PREFACE: u8 = 0xA1;

/// First byte of a connection in SAMIRA/2.
pub const SAMIRA2_PREFACE: u8 = 0xA2;

// ---- between nodes -----------------------------------------------------------------------------------------

/// Commands in one run of one writer, and so the most a node proposes at once. Equal to the number of
/// outcomes kept for repetition, so that a run can always be sent again as a whole.
pub const RUN_COMMANDS_MAX: usize = 512;

/// Bytes of encoded commands at which a run is closed: at least one command of any legal size fits.
pub const RUN_BYTES_MAX: usize = 512 << 10;

/// Outcomes kept per writer, so that a write whose answer was lost can be asked for again.
pub const OUTCOMES_KEPT: usize = 512;

/// Bytes of encoded commands in one log entry at which the leader stops adding further runs: large enough to
/// spread one flush over a thousand small messages, small enough to replicate within a heartbeat on 100 Mbit/s.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Bytes of one frame between nodes, except snapshot content: one append of several entries, each of at most
/// [`BATCH_BYTES_MAX`] plus one run of [`RUN_BYTES_MAX`].
pub const PEER_FRAME_BYTES_MAX: usize = 8 << 20;

/// Bytes of one frame of a node that has no certificate yet: a join request with its certificate request.
pub const JOIN_FRAME_BYTES_MAX: usize = 16 << 10;

/// Addresses that one node tells another at once: one of each member, and a cluster has a handful.
pub const ADDRESSES_MAX: usize = 64;

/// People that one node tells another to be online at once: all clients that a node serves.
pub const WHISPERED_USERS_MAX: usize = 10_000;

/// Bytes of a server's name.
pub const SERVER_NAME_BYTES_MAX: usize = 64;

/// Bytes of snapshot content read or written at a time.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;

const _: () = assert!(OUTCOMES_KEPT >= RUN_COMMANDS_MAX, "a run must be repeatable as a whole");
const _: () = assert!(PEER_FRAME_BYTES_MAX >= 4 * BATCH_BYTES_MAX, "an append must hold several entries");
const _: () =
    assert!(REQUEST_BYTES_MAX >= 6 * MESSAGE_TEXT_BYTES_MAX + 4096, "every legal message text must fit escaped");
const _: () = assert!(PEER_FRAME_BYTES_MAX >= RUN_COMMANDS_MAX * 128, "a run of short writes must fit one frame");
const _: () = assert!(RUN_BYTES_MAX >= 2 * MESSAGE_TEXT_BYTES_MAX, "one command of any legal size must fit a run");
const _: () =
    assert!(NODE_FRAME_BYTES_MAX >= REPLY_CONTENT_BYTES_MAX + MESSAGE_TEXT_BYTES_MAX + 4096, "one more item fits");
const _: () = assert!(CHAT_VERSION_MIN <= CHAT_VERSION, "the newest version is spoken");
const _: () = assert!(REPLY_TIMEOUT_MS < SILENCE_MS_MAX, "a lost reply is noticed before the silence");
const _: () = assert!(DELETE_INDICES_MAX == ITEMS_PER_REQUEST_MAX, "the rules bound both dialects' deletions");
