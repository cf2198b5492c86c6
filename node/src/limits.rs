//! Bounds and times of the server itself; those of the protocol are in [`wire::limits`].

use std::time::Duration;

/// A read that gets no answer from a quorum for this long is answered from local state and marked stale.
pub const STALE_AFTER: Duration = Duration::from_secs(2);

/// A write is held this long while no leader can be reached, then refused.
pub const WRITE_HOLD: Duration = Duration::from_secs(10);

/// Jobs waiting for the log thread, and so the most that one flush takes together. Raft has a handful under way.
pub const LOG_JOBS_MAX: usize = 256;

/// Size of `log.db-wal`, in bytes, at which it is moved into the database: seldom enough to cost little, small enough
/// to be moved in tens of milliseconds.
pub const LOG_WAL_BYTES_MAX: u64 = 16 << 20;

/// Bytes of the newest log entries kept in memory: several full batches for followers that keep up, little beside the
/// 40 MB a node may occupy.
pub const LOG_CACHE_BYTES: usize = 6 << 20;

/// Bytes of entries in one append to a follower, so that it travels within a heartbeat.
pub const APPEND_BYTES_MAX: usize = 2 << 20;

const _: () = assert!(
    APPEND_BYTES_MAX + wire::limits::BATCH_BYTES_MAX + wire::limits::RUN_BYTES_MAX < wire::limits::PEER_FRAME_BYTES_MAX,
    "an append with its largest last entry must fit one frame"
);

/// A link without any packet for this long is dead. Long enough for a stalled virtual machine, short enough that a
/// replaced peer is dialled again soon; a dead leader is noticed by its missing heartbeats, not by this.
pub const LINK_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Idle links say something this often, so that [`LINK_IDLE_TIMEOUT`] means the peer is gone.
pub const LINK_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// One attempt to connect to a peer.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after the first failed attempt; doubled up to [`DIAL_PAUSE_MAX`].
pub const DIAL_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause between attempts: a returned peer is found within it.
pub const DIAL_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Newcomers served at once; further ones are told to come again.
pub const JOIN_CONNECTIONS_MAX: usize = 4;

/// A newcomer's whole visit: long enough for a commit during an election.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Pause of openraft after a peer was unreachable. The peer is redialled in the background meanwhile.
pub const RAFT_BACKOFF: Duration = Duration::from_millis(100);

/// Longest transfer of a snapshot, install included: a gigabyte over a slow LAN.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

/// Jobs waiting for the apply thread. openraft has one under way at a time.
pub const APPLY_JOBS_MAX: usize = 16;

/// Writes of this node's clients that wait for their turn. Beyond it they are told to come again.
pub const PROPOSALS_MAX: usize = 16 << 10;

/// Runs these writes may fill: bounds their bytes to this many times [`wire::limits::RUN_BYTES_MAX`].
pub const PROPOSED_RUNS_MAX: usize = 64;

/// Runs waiting at the leader: each node of a cluster has at most one under way, the rest are given up ones.
pub const COLLECTED_RUNS_MAX: usize = 64;

/// Pause before a leader is looked for again, if nothing changes earlier.
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Interval of heartbeats. openraft cancels an append after it, so it is also the time one batch may take to a
/// follower's disk and back.
pub const HEARTBEAT: Duration = Duration::from_millis(80);

/// A follower that hears nothing stands for election after max plus a random part between min and max.
pub const ELECTION_TIMEOUT_MIN: Duration = Duration::from_millis(160);

/// See [`ELECTION_TIMEOUT_MIN`]; also how long followers protect a leader they have heard from.
pub const ELECTION_TIMEOUT_MAX: Duration = Duration::from_millis(400);

/// Log entries between two durable checkpoints of the state, below which the log is purged.
pub const SNAPSHOT_ENTRIES: u64 = 4096;

/// Log entries kept behind a checkpoint, so that a follower that was away for a moment needs no snapshot.
pub const LOG_KEPT_ENTRIES: u64 = 8192;

/// A learner that lacks no more than this many entries has caught up: a fraction of a second under load.
pub const CATCH_UP_ENTRIES: u64 = 128;

/// Pause between looks at learners and other slow matters of membership.
pub const MEMBERSHIP_PAUSE: Duration = Duration::from_millis(250);

/// One small question to a peer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of an advertised address.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Pause between two rounds of asking to be let in.
pub const JOIN_PAUSE: Duration = Duration::from_secs(1);

/// Client connections served at once, unless the operator says otherwise: a school, with room. The original had 10.
pub const MAX_CLIENTS_DEFAULT: usize = 10_000;
