//! Every bound of the client: the number, its unit, and why it is that number. What the protocol bounds is in
//! [`wire::limits`].

use wire::limits::PIPELINE_MAX;

/// Name and version that this program tells nodes.
pub const PROGRAM: &str = concat!("samira-client/", env!("CARGO_PKG_VERSION"));

/// Addresses of one cluster that are kept: more nodes than anybody runs.
pub const ADDRESSES_MAX: usize = 64;

/// Bytes of a host's name: what DNS allows.
pub const HOST_BYTES_MAX: usize = 253;

/// Commands that wait for the driver. Beyond it a caller is told `busy` at once: people cannot click as fast, and a
/// program that sends in bulk waits for answers.
pub const COMMANDS_MAX: usize = 1024;

/// Notes that wait for the program. Beyond it the driver stops reading from the node until some are taken.
pub const NOTES_MAX: usize = 1024;

/// Changes in one note; a longer batch becomes several.
pub const DELTAS_PER_NOTE_MAX: usize = 1024;

/// Requests of this client that are open at once: far below what a node allows, so that one more never meets the bound.
pub const PENDING_MAX: usize = 256;

/// Writes on their way at once: as many as the node repeats the replies of.
pub const WRITES_MAX: usize = 128;

/// Messages and other writes that wait in the outbox. Who has written this many without a connection is a program, and is
/// told to slow down.
pub const OUTBOX_MAX: usize = 10_000;

/// Programs that hand a message to the one that has the profile, at once: more than a script starts side by side.
pub const HANDED_OVER_MAX: usize = 16;

/// Bytes of a message that is handed over, as JSON: six for each byte of the longest text, and a name.
pub const HANDED_OVER_BYTES_MAX: usize = 6 * wire::limits::MESSAGE_TEXT_BYTES_MAX + 16 * FIELD_BYTES_MAX;

/// Bytes read from the socket at a time.
pub const READ_BYTES: usize = 64 << 10;

/// Bytes waiting to be sent at which no further write is handed to the connection: a few frames of any legal size.
pub const SEND_BUFFER_BYTES_MAX: usize = 256 << 10;

/// How long a name may take to be looked up, and then one address until TCP and TLS stand and the hello is answered, milliseconds. A LAN needs 10, a bad
/// radio link some hundreds; with several addresses nobody waits longer than this for the next.
pub const CONNECT_MS_MAX: u64 = 5_000;

/// Names that are looked up at once, those included that nobody waits for any more: a silent name server keeps each for
/// tens of seconds, and the next attempt must not add a thread for ever.
pub const LOOKUPS_MAX: usize = 4;

/// How long a node may be silent before its connection is given up, milliseconds. A ping goes out at half of it, so that
/// a person is told within ten seconds that the link is dead, and a link that loses packets has time to repeat them.
pub const PATIENCE_MS: u64 = 8_000;

/// How often one looks whether a majority is back, milliseconds: a small request, and people wait for it.
pub const STALE_MS: u64 = 2_000;

/// How long marks are gathered before they are sent, milliseconds: the node promises the same.
pub const MARKS_MS: u64 = 250;

/// How long the last words may take when the program ends, milliseconds.
pub const GOODBYE_MS_MAX: u64 = 500;

/// Bytes of any text in a command that is no message: names, patterns. Rules refuse shorter ones already; this keeps a
/// frame within its bound.
pub const FIELD_BYTES_MAX: usize = 1024;

/// Newest messages of a conversation that are always in memory, and that [`crate::model::Model::hash`] covers.
pub const TAIL_MESSAGES: usize = 200;

/// Messages of a conversation in memory at which older ones that were read are let go; they stay on disk.
pub const MEMORY_MESSAGES_MAX: usize = 4 * TAIL_MESSAGES;

/// How long SQLite waits for another process that reads the profile, milliseconds. Backup programs do that for moments.
pub const BUSY_MS: u64 = 2_000;

const _: () = assert!(PENDING_MAX < PIPELINE_MAX, "the node's own bound is never met");
const _: () = assert!(WRITES_MAX < PENDING_MAX, "other requests find room beside the writes");
