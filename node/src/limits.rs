//! Bounds and times of the server itself; those of the protocol are in [`wire::limits`].

use std::time::Duration;

/// A read that gets no answer from a quorum for this long is answered from local state and marked stale.
pub const STALE_AFTER: Duration = Duration::from_secs(2);

/// While the last question to a quorum went unanswered, further reads wait only this long: people who poll a minority
/// once a second must not wait two each time.
pub const STALE_AGAIN_AFTER: Duration = Duration::from_millis(150);

/// A write is held this long while no leader can be reached, then refused.
pub const WRITE_HOLD: Duration = Duration::from_secs(10);

/// Jobs waiting for the log thread, and so the most that one flush takes together. Raft has a handful under way.
pub const LOG_JOBS_MAX: usize = 256;

/// One flush in so many writes how far the log is committed, and with it one page more. An older hint costs applying again
/// from the log, and only where the state was lost with the machine.
pub const FLUSHES_PER_COMMITTED: u32 = 64;

/// What the others have promised, and how far the log is committed, is written down at least this often while it changes: a
/// crash forgets no more of it than that.
pub const HINTS_PAUSE: Duration = Duration::from_secs(1);

/// A server that has just started votes for nobody before it has heard from every other voter what they remember of it, or
/// for this long. Voters that run are connected within a fraction of it; those that do not must not hold up an election.
pub const INTRODUCTION_PATIENCE: Duration = Duration::from_secs(1);

/// How long an earlier process of a server may take to show that it still runs, when another process introduces itself
/// under the same identity. On slow links three round trips, if that is longer.
pub const PROBE_PATIENCE: Duration = Duration::from_millis(300);

/// Pause between two looks at whether it has answered.
pub const PROBE_PAUSE: Duration = Duration::from_millis(5);

/// A server that learns that it must end still answers its introductions for this long, so that the others learn why.
pub const FAREWELL: Duration = Duration::from_millis(150);

/// Entries between two at which every replica keeps the hash of its state.
pub const STATE_COMPARED_ENTRIES: u64 = 256;

/// How many of these hashes are kept: replicas that lag by some thousands of entries still find one in common.
pub const STATE_HASHES_KEPT: usize = 16;

/// Replicas are compared this often: they tell each other less than a kilobyte.
pub const COMPARISON_PAUSE: Duration = Duration::from_secs(1);

/// A replica in which nothing changes repeats its hashes after this, for those that have come meanwhile.
pub const COMPARISON_REPEAT: Duration = Duration::from_secs(5);

/// While two replicas differ and no majority says which is right, the others have this long to tell theirs.
pub const COMPARISON_PATIENCE: Duration = Duration::from_secs(7);

/// How much the thread that applies makes way for those that make entries durable and answer other nodes. Little: clients
/// wait for it too, and on a machine with other work it must go on.
pub const APPLY_NICE: i32 = 2;

/// How much the threads that move write-ahead logs make way: nobody waits for them.
pub const CHECKPOINT_NICE: i32 = 10;

/// Bytes of pages in a write-ahead log at which it is moved into its database: seldom enough to cost little, small
/// enough to take milliseconds.
pub const CHECKPOINT_BYTES: u32 = 4 << 20;

/// Free pages that are taken out of a database at once: a megabyte of the log's, some milliseconds.
pub const SWEEP_PAGES: u32 = 256;

/// Pause before each such step, in which the thread has nothing else to do.
pub const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Steps left out in a row because it had: then one is done all the same, every four minutes.
pub const SWEEP_SKIPS_MAX: u32 = 240;

/// Free space in `state.db` that is worth giving back at a start, if it is half of the file: the file is written anew.
pub const STATE_FREE_BYTES_MAX: i64 = 16 << 20;

/// Size of `state.db` up to which its whole structure is checked at each start: a tenth of a second of reading.
pub const STATE_CHECK_BYTES_MAX: u64 = 64 << 20;

/// Bytes of the newest log entries kept in memory: several full batches for followers that keep up, little beside the
/// 40 MB a node may occupy.
pub const LOG_CACHE_BYTES: usize = 6 << 20;

/// Bytes of entries that wait for the apply thread with their content; others are read again from the log when their turn comes.
pub const APPLY_BYTES_MAX: usize = 8 << 20;

/// Bytes of entries handed to the log thread and not on disk at which consensus waits for it: one append of the largest size is
/// never held up.
pub const LOG_QUEUE_BYTES_MAX: usize = 8 << 20;

/// Bytes of entries in one append to a follower over the widest line: what is read from the log at a time.
pub const APPEND_BYTES_MAX: usize = 2 << 20;

/// Bytes of entries in the first append over a line of which nothing is known: a second on a line of one megabit.
pub const APPEND_BYTES_START: usize = 128 << 10;

/// Bytes of entries that an append may have over the narrowest line.
pub const APPEND_BYTES_MIN: usize = 4 << 10;

/// Time that an append may take beside the round trip; the next one is so large that it does. Long enough to use a line, short
/// enough that an entry waits for little before it.
pub const APPEND_TIME: Duration = Duration::from_millis(250);

/// An append of which nothing has moved for this long, beside three round trips, is given up and sent again, smaller.
pub const APPEND_STALL: Duration = Duration::from_secs(3);

/// The longest time that openraft waits for a peer: the link ends its waits before, this is for what nobody has thought of.
pub const CALL_BACKSTOP: Duration = Duration::from_secs(120);

/// The longest round trip at which writes work as they should; above it operators are told. A write takes one at the leader, two
/// elsewhere, and one more while a link recovers from a loss, of the time that it is held.
pub const ROUND_TRIP_MAX: Duration = Duration::from_millis(1500);

/// A round trip from which on a heartbeat is not waited for, if the last one was answered: what it costs to wait for is then a
/// multiple of what a disk costs.
pub const LONG_ROUND_TRIP: Duration = Duration::from_millis(25);

/// Bytes of datagrams that may wait on a link in each direction: dozens of heartbeats. The oldest make way.
pub const DATAGRAMS_BYTES_MAX: usize = 4 << 10;

const _: () = assert!(
    APPEND_BYTES_MAX + wire::limits::BATCH_BYTES_MAX + wire::limits::RUN_BYTES_MAX < wire::limits::PEER_FRAME_BYTES_MAX,
    "an append with its largest last entry must fit one frame"
);

/// A link without any packet for this long is dead. Long enough for a stalled virtual machine, short enough that a
/// replaced peer is dialled again soon; a dead leader is noticed by its missing heartbeats, not by this.
pub const LINK_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Idle links say something this often, so that [`LINK_IDLE_TIMEOUT`] means the peer is gone.
pub const LINK_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// One attempt to connect to a peer: some round trips of a second each.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(8);

/// Pause before another attempt begins beside one that has no answer yet: its packets are repeated ever more slowly, and a peer
/// that has come back shall not have to wait for the next.
pub const DIAL_AGAIN: Duration = Duration::from_secs(2);

/// Attempts to connect to one peer at the same time: one for each [`DIAL_AGAIN`] of a [`DIAL_TIMEOUT`].
pub const DIALS_MAX: usize = 4;

/// Pause after the first failed attempt; doubled up to [`DIAL_PAUSE_MAX`].
pub const DIAL_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause between attempts: a returned peer is found within it.
pub const DIAL_PAUSE_MAX: Duration = Duration::from_millis(500);

/// The next address of a name or of a member is tried this long after the one before, unless that has failed already: longer
/// than a LAN takes to answer, and nobody notices it.
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);

/// Addresses that one attempt tries: several names with several addresses each.
pub const DIAL_TARGETS_MAX: usize = 16;

/// Look-ups of names at the same time. One may hang for as long as the system's resolver does, and holds one of four threads
/// that other work needs too.
pub const RESOLVES_MAX: usize = 2;

/// Members whose last place is remembered, those that have just been let in or removed included.
pub const ARRIVALS_MAX: usize = 256;

/// Between two looks whether this machine still has the address that the others were told; a lost link causes one at once.
pub const ADDRESS_CHECK: Duration = Duration::from_secs(10);

/// Pause before the addresses of `--peers` are tried while a member is not reached: most are where they were.
pub const VISIT_PAUSE_MIN: Duration = Duration::from_millis(500);

/// Longest pause between two such rounds: each costs whoever answers a handshake, and a member may be gone for days.
pub const VISIT_PAUSE_MAX: Duration = Duration::from_secs(16);

/// Links on which nobody has shown yet who they are; further ones are refused, and from half of it on an address has to be
/// proven first. A cluster has a handful of nodes.
pub const HANDSHAKES_MAX: usize = 64;

/// Bytes under way from somebody who has not shown yet who they are: a request to be let in, twice over.
pub const STRANGER_WINDOW_BYTES: u32 = 32 << 10;

const _: () = assert!(STRANGER_WINDOW_BYTES as usize >= 2 * wire::limits::JOIN_FRAME_BYTES_MAX, "it has to fit");

/// Streams another node may have open on its link: one per lane and some whose calls were given up.
pub const PEER_STREAMS_MAX: u32 = 64;

/// Newcomers served at once; further ones are told to come again.
pub const JOIN_CONNECTIONS_MAX: usize = 4;

/// A newcomer's whole visit: long enough for a commit during an election.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(20);

/// One attempt to reach a newcomer, and as long again for its answer. Twice that and a commit have to fit into half of
/// [`JOIN_TIMEOUT`], after which the server that was asked gives up on the leader.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// A newcomer's own attempt to reach the leader, while the leader waits for its answer: two round trips of a second.
pub const PROBE_BACK_TIMEOUT: Duration = Duration::from_millis(2500);

const _: () = assert!(
    PROBE_TIMEOUT.as_millis() * 2 + 1000 <= JOIN_TIMEOUT.as_millis() / 2
        && PROBE_BACK_TIMEOUT.as_millis() < PROBE_TIMEOUT.as_millis(),
    "a newcomer that is not reached must hear so"
);

/// Clocks of two servers may differ by this much; an operator hears of more.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(2);

/// While somebody looks at the status, clocks are compared again this often.
pub const CLOCK_LOOK_PAUSE: Duration = Duration::from_secs(5);

/// A member that nobody has reached for this long is gone, and a newcomer may take its place: longer than a restart takes.
pub const GONE_AFTER: Duration = Duration::from_secs(3);

/// Pause of openraft after a peer was unreachable. The peer is redialled in the background meanwhile.
pub const RAFT_BACKOFF: Duration = Duration::from_millis(100);

/// Room left on a disk beside a copy of the state that is taken in: the log goes on meanwhile.
pub const ROOM_KEPT_BYTES: u64 = 16 << 20;

/// Pause before a copy of the state is made again for a follower that did not take the last one; doubled up to
/// [`SNAPSHOT_PAUSE_MAX`] while it says that it cannot.
pub const SNAPSHOT_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest such pause: a copy costs a pass over the whole state, and space has to be made by a person.
pub const SNAPSHOT_PAUSE_MAX: Duration = Duration::from_secs(16);

/// A snapshot of which nothing has moved for this long is given up. The other side says nothing while it checks and installs
/// what it has received, which takes seconds for a gigabyte.
pub const SNAPSHOT_STALL: Duration = Duration::from_secs(60);

/// Longest transfer of a snapshot: ten gigabytes over a line of one megabit.
pub const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Tokens of a device that may stand beside each other before one of them is used: as many replies as may get lost in a
/// row. The one that was made first then counts as used. Part of the rules: another number is another rule level.
pub const PENDING_TOKENS_MAX: usize = 4;

/// Used tokens remembered per device, so that who shows one is known for a thief, or for the victim of one. Part of the rules: another number is another rule level.
pub const RETIRED_TOKENS_MAX: usize = 8;

/// Devices of a user that are logged out and still known: whoever comes back with one hears that it was logged out, and not
/// that it never was. Part of the rules: another number is another rule level.
pub const REVOKED_DEVICES_KEPT: usize = 32;

/// Devices forgotten with one that is logged out. More than one, so that accounts of earlier releases shrink. Part of the
/// rules too.
pub const DEVICES_FORGOTTEN_AT_ONCE: usize = 4;

const _: () = assert!(DEVICES_FORGOTTEN_AT_ONCE > 1, "each logout adds one");

/// Jobs waiting for the apply thread. openraft has one under way at a time.
pub const APPLY_JOBS_MAX: usize = 16;

/// Writes of this node's clients that wait for their turn. Beyond it they are told to come again.
pub const PROPOSALS_MAX: usize = 16 << 10;

/// Runs these writes may fill: bounds their bytes to this many times [`wire::limits::RUN_BYTES_MAX`].
pub const PROPOSED_RUNS_MAX: usize = 64;

/// Runs waiting at the leader: each node of a cluster has at most one under way, the rest are given up ones.
pub const COLLECTED_RUNS_MAX: usize = 64;

/// How long a leader waits for openraft's answer to an entry before it goes on with the next: longer than anybody waits for
/// the writes in it, so that a slow link only makes the others wait their turn.
pub const PROPOSAL_PATIENCE: Duration = WRITE_HOLD.saturating_mul(3);

/// How long a leader waits for one change of the members, which takes two entries. A change given up is looked at again:
/// it may have been made, or be under way.
pub const MEMBERSHIP_PATIENCE: Duration = WRITE_HOLD;

/// Pause before a leader is looked for again, if nothing changes earlier.
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Nodes that watch this one over TCP; a cluster has a handful of them.
pub const WATCHERS_MAX: usize = 64;

/// Time to reach a peer over TCP, to watch it or to see whether it is really gone.
pub const WATCH_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause before a peer that cannot be watched is tried again. A node that has just come back may be leading soon, and
/// until it is watched its death is noticed by the timeouts only.
pub const WATCH_PAUSE: Duration = Duration::from_millis(100);

/// When a leader has died all survivors stand for election at once. If that settles nothing each tries again after this
/// time for each of them and for each one before it: longer than an election takes.
pub const SUCCESSION_STEP: Duration = Duration::from_millis(30);

/// Rounds of that, each twice as long as the one before. After that the ordinary timeouts decide: with three nodes half a
/// second later.
pub const SUCCESSION_ROUNDS: u32 = 3;

/// Who has voted for another helps nobody else to stand for this long: the other may be about to win.
pub const VOTE_PATIENCE: Duration = Duration::from_millis(100);

/// How long a link to a member waits for openraft's core before it tells it of a newer vote: longer than any entry takes to be
/// written on a disk that works.
pub const CORE_PATIENCE: Duration = Duration::from_secs(2);

/// Interval of heartbeats, whatever the line and whatever is sent over it.
pub const HEARTBEAT: Duration = Duration::from_millis(100);

/// A follower that hears nothing stands for election after max plus a random part of the difference between min and max.
pub const ELECTION_TIMEOUT_MIN: Duration = Duration::from_millis(200);

/// See [`ELECTION_TIMEOUT_MIN`]; also how long followers protect a leader they have heard from.
pub const ELECTION_TIMEOUT_MAX: Duration = Duration::from_millis(400);

/// A voter that has heard nothing of the leader for this long takes it for gone: the longest time before it asks the others
/// for their votes.
pub const LEADER_SILENCE: Duration = ELECTION_TIMEOUT_MAX.saturating_mul(2);

/// Log entries between two durable checkpoints of the state, below which the log is purged.
pub const SNAPSHOT_ENTRIES: u64 = 4096;

/// Log entries kept behind a checkpoint, so that a follower that was away for a moment needs no snapshot.
pub const LOG_KEPT_ENTRIES: u64 = 8192;

/// A learner that lacks no more than this many entries has caught up: a fraction of a second under load.
pub const CATCH_UP_ENTRIES: u64 = 128;

/// Pause between looks at learners and other slow matters of membership.
pub const MEMBERSHIP_PAUSE: Duration = Duration::from_millis(250);

/// How long an operator who removes a member waits for it: an election and two changes of the members.
pub const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);

/// One small question to a peer, some of which have to be committed first: five round trips of a second, and room.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// Bytes read of a file with a join code, which is a line.
pub const JOIN_CODE_FILE_BYTES_MAX: u64 = 4096;

/// Bytes of an advertised address.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Pause between two rounds of asking to be let in.
pub const JOIN_PAUSE: Duration = Duration::from_secs(1);

/// Client connections served at once, unless the operator says otherwise: a school, with room. The original had 10.
/// An idle one costs a good kilobyte here, within TLS four and a half (`tests/tests/tls.rs` measures it), and a few in the
/// kernel.
pub const MAX_CLIENTS_DEFAULT: usize = 10_000;

/// Between two writes of one session's marks: nobody notices a check mark that comes a quarter of a second later.
pub const MARKS_PAUSE: Duration = Duration::from_millis(250);

/// A read of what happened that failed is tried again after this.
pub const FEED_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What a client is told to wait before it tries a write again on a session that may only read, milliseconds.
pub const RECHECK_HINT_MS: u64 = 1000;

/// How long it is looked whether such a session may write again.
pub const RECHECK_PATIENCE: Duration = Duration::from_secs(5);

/// A process that has not run for this long has stood still: less than any client waits for an answer, more than a busy machine
/// keeps a thread waiting.
pub const STANDSTILL_MIN: Duration = Duration::from_secs(3);

/// How often a node looks whether its data directory is still in place.
pub const DIRECTORY_LOOK: Duration = Duration::from_secs(2);

/// How often a node looks whether it has.
pub const STANDSTILL_LOOK: Duration = Duration::from_secs(1);

/// Who comes back within this was never gone: a client that moves to another node takes a fraction of it.
pub const ABSENCE_GRACE: Duration = Duration::from_secs(4);

/// Nodes tell each other everybody who is online this often, so that one that was not reached catches up.
pub const PRESENCE_REFRESH: Duration = Duration::from_secs(15);

/// What a node has not said again for this long is forgotten: two refreshes may be lost.
pub const PRESENCE_TTL: Duration = Duration::from_secs(50);

/// Batches of presence and typing that may wait, in either direction; further ones are dropped, as nothing depends on them.
pub const WHISPERS_MAX: usize = 64;

/// One batch of presence and typing to a peer.
pub const WHISPER_TIMEOUT: Duration = Duration::from_secs(1);

/// Transactions whose effects may wait for the service; beyond it sessions are told from the rows instead.
pub const EFFECTS_MAX: usize = 256;

// ---- transport ---------------------------------------------------------------------------------------------

/// A new connection has this long to send its first whole frame, then it is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A frame that has begun has this long to become whole: [`wire::limits::REQUEST_BYTES_MAX`] at 70 kbit/s.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// A client that takes nothing of what waits for it for this long is closed.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// After our side of a connection is shut, what the client still sends is thrown away for this long: closing with
/// unread bytes would reset the connection and could destroy the last reply on its way.
pub const LINGER: Duration = Duration::from_secs(1);

/// A client that is told why its connection ends has this long to take that and all that waits before it: seconds for a
/// megabyte on a slow line, and a seat and its memory are soon free again.
pub const BYE_PATIENCE: Duration = Duration::from_secs(5);

/// Pause before accepting again after the process or the system ran out of file descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Frames of one connection that may wait for their replies; reading from it stops there.
pub const PIPELINE_FRAMES_MAX: usize = 1024;

/// Reading goes on when no more frames than this wait, so that it stops and starts in runs.
pub const PIPELINE_FRAMES_RESUME: usize = PIPELINE_FRAMES_MAX / 2;

/// Bytes waiting for one client at which reading from it stops.
pub const OUTBOX_BYTES_PAUSE: usize = 256 << 10;

/// Bytes that may wait for one client; over it, it is closed. Holds the replies to a full pipeline.
pub const OUTBOX_BYTES_MAX: usize = 4 << 20;

/// Bytes waiting for one client at which nothing more is pushed to it: it is closed, and asks for what it missed when it
/// has come back. Holds the longest push behind a paused outbox.
pub const OUTBOX_PUSH_BYTES_MAX: usize = 1 << 20;

/// Bytes of pushes to all clients that may wait for the poll thread, which takes all of them at once.
pub const PUSHED_BYTES_MAX: usize = 64 << 20;

/// Bytes of the largest TLS record that is taken: header, content, and all that encryption may add. Also the largest message
/// of a handshake.
pub const TLS_RECORD_BYTES_MAX: usize = 5 + (16 << 10) + 2048;

/// Replies joined into one write. Linux takes at most 1024 pieces; beyond some dozens nothing is gained.
pub const WRITE_PIECES_MAX: usize = 64;

/// Bytes read from one connection before the next one has its turn; also the size of the one shared read buffer, beside the
/// beginning of a TLS record.
pub const READ_BYTES_PER_TURN: usize = 64 << 10;

/// Bytes of frames at which a turn is handed to the service although more connections are ready.
pub const TURN_BYTES_MAX: usize = 1 << 20;

/// Open files kept free of clients: databases, snapshots, sockets to peers and administrators, and room to spare.
pub const FILES_RESERVED: usize = 128;

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
pub const ACCEPT_QUEUE: i32 = 4096;

/// Connections accepted before those already open have their turn.
pub const ACCEPTS_PER_TURN: usize = 256;

/// TLS handshakes that go on in one turn of the poll loop; others wait for the next turn, in which everybody else is served
/// again. One costs the poll thread 0.2 ms on a busy machine with two cores (p90 0.3 ms), nearly all of it a key exchange and
/// a signature: so a crowd that arrives at once makes a turn 4 ms longer.
pub const HANDSHAKES_PER_TURN: usize = 16;

/// Connections that will be refused and still have to show which codec to say it in; further ones are just closed.
pub const REFUSED_WAITING_MAX: usize = 64;

/// Bytes of incomplete requests and waiting replies over all clients. The connection that would exceed it is closed.
pub const BUFFERED_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(
    OUTBOX_PUSH_BYTES_MAX >= OUTBOX_BYTES_PAUSE + 6 * wire::limits::MESSAGE_TEXT_BYTES_MAX + 4096
        && OUTBOX_PUSH_BYTES_MAX < OUTBOX_BYTES_MAX,
    "the longest message must fit escaped behind a paused outbox"
);
const _: () = assert!(PUSHED_BYTES_MAX >= 16 * OUTBOX_PUSH_BYTES_MAX, "one client must not use up what is for all");
const _: () = assert!(PIPELINE_FRAMES_RESUME < PIPELINE_FRAMES_MAX, "a paused connection must be able to resume");
const _: () = assert!(
    OUTBOX_BYTES_MAX >= OUTBOX_BYTES_PAUSE + PIPELINE_FRAMES_MAX * wire::limits::LEGACY_REPLY_BYTES_MAX,
    "the replies to a full pipeline must fit behind a paused outbox"
);
const _: () = assert!(
    BUFFERED_BYTES_MAX >= 16 * (OUTBOX_BYTES_MAX + wire::limits::REQUEST_BYTES_MAX),
    "a few greedy clients must not use up what is meant for all"
);

/// Administrators served at once; more wait.
pub const ADMIN_CONNECTIONS_MAX: usize = 8;

/// Bytes of one administrative request.
pub const ADMIN_REQUEST_BYTES_MAX: u64 = 4096;

/// An administrator who says nothing, or takes no answer, for this long is sent away: requests are typed by programs, and
/// seats are few.
pub const ADMIN_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an administrator waits for an answer: longer than a write is held.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a node that has to end waits for the answers to administrators that are under way.
pub const ADMIN_FAREWELL: Duration = Duration::from_secs(1);

/// How long a join code works, unless the operator says otherwise.
pub const JOIN_CODE_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Longest life of a join code: whoever finds one of last week on a note shall not get in with it.
pub const JOIN_CODE_LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long stopping may wait for clients to take their last replies.
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// How long stopping may take altogether: clients, then consensus and the links. What has not ended by then ends with the
/// process, which loses nothing that was acknowledged.
pub const STOP_PATIENCE: Duration = SHUTDOWN_PATIENCE.saturating_mul(2);

/// Turns of the poll loop that wait for the service. When they are full the poll thread waits: that is the
/// backpressure on clients.
pub const TURNS_MAX: usize = 64;

/// Batches of write outcomes that wait for the service.
pub const COMPLETIONS_MAX: usize = 64;

/// Threads that run queries.
pub const QUERY_THREADS: usize = 2;

/// A start that is over waits so long for links to all members, before it says what the cluster can lose.
pub const LINKS_PATIENCE: Duration = Duration::from_secs(1);

/// Tries to find a port that is free for both TCP and UDP.
pub const PORT_TRIES: u32 = 20;

/// Bytes of requests that one connection may have waiting for their turn, behind a read for example. More are answered
/// as busy: the transport bounds their number, this their size.
pub const SESSION_QUEUE_BYTES_MAX: usize = 4 << 20;

/// Bytes of requests that all connections together may have waiting.
pub const SERVICE_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Chat pages remembered per connection, so that they can go on from what they show, and `delete_messages` can name
/// messages by their place in it. The original client has one chat open at a time.
pub const PAGES_KEPT_MAX: usize = 8;

/// Rows remembered of one page that has started afresh, at 16 bytes each. A deletion further down counts in the list that
/// was sent last.
pub const PAGE_ROWS_MAX: usize = 1024;

/// A page that has not asked for so long is closed: an open one asks every second.
pub const PAGE_SILENCE_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(SERVICE_QUEUE_BYTES_MAX >= 8 * SESSION_QUEUE_BYTES_MAX, "one connection must not fill it all");
const _: () =
    assert!(SESSION_QUEUE_BYTES_MAX >= wire::limits::REQUEST_BYTES_MAX, "any legal request must be able to wait");

// ---- gRPC ----

/// gRPC connections at once. Each costs a task and the buffers of HTTP/2, some tens of kilobytes; they count among the
/// clients too.
pub const GRPC_CONNECTIONS_MAX: usize = 2048;

/// gRPC connections from one address at once. A machine behind which many people sit looks like one address; a single
/// program that leaks channels shall not take all places.
pub const GRPC_CONNECTIONS_PER_ADDRESS_MAX: usize = 512;

/// Calls under way on one connection; HTTP/2 tells the client, which then waits by itself.
pub const GRPC_CALLS_PER_CONNECTION_MAX: u32 = 128;

/// Calls under way on all connections; more are told to come back.
pub const GRPC_CALLS_MAX: usize = 8192;

/// Turns of calls that wait for the service: each call under way keeps a place for its end.
pub const GRPC_TURNS_MAX: usize = 4 * GRPC_CALLS_MAX;

/// Writes of one stream of `samira.v2` under way: more than a disk takes at once, and no more than a connection of our own
/// dialect may have open. Further ones wait at the client, by HTTP/2's flow control.
pub const GRPC_WRITES_UNDER_WAY_MAX: usize = 256;

/// Bytes of one stream's writes under way: long messages wait at the client rather than fill the cluster's queues and be refused.
pub const GRPC_WRITES_BYTES_MAX: usize = 1 << 20;

/// Streams of events and of writes open at once on all connections. An open one costs what a session costs.
pub const GRPC_STREAMS_MAX: usize = 2048;

/// Bytes of one request: the largest holds one message text.
pub const GRPC_REQUEST_BYTES_MAX: usize = 256 << 10;

/// Bytes of all requests that have not come to their end.
pub const GRPC_REQUESTS_BYTES_MAX: usize = 64 << 20;

/// Bytes of the list in a reply of the original's package: its clients take 4 MiB, and the rest of the reply is small.
pub const GRPC_LIST_BYTES_MAX: usize = (4 << 20) - 4096;

/// Bytes of the headers of a call: the path and a token take a few hundred.
pub const GRPC_HEADER_BYTES_MAX: u32 = 16 << 10;

/// Bytes that a client may have under way unread on one connection and on one of its calls (HTTP/2 windows).
pub const GRPC_WINDOW_BYTES: u32 = 256 << 10;

/// A connection that has been silent for this long is asked whether it is still there.
pub const GRPC_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long it may take to answer that.
pub const GRPC_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Sockets on their way from the poll thread to the gRPC thread.
pub const GRPC_HANDED_OVER_MAX: usize = 256;

/// How long a login over the original's gRPC package lets its address act for the account.
pub const ADDRESS_BOUND_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// With less than this left, the next login makes it longer; with more it need not be written down again.
pub const ADDRESS_BOUND_AGAIN: Duration = Duration::from_secs(12 * 60 * 60);

/// Places in lists that are remembered for clients of the original's gRPC package, so that an index means the message it
/// meant when the list was sent. 16 bytes each.
pub const GRPC_PLACES_MAX: usize = 1 << 20;

/// Clients for whom any are remembered.
pub const GRPC_PLACES_CLIENTS_MAX: usize = 4096;

/// Frames that wait for an event stream; a client that leaves more lying is cut off and asks anew from its cursor.
pub const GRPC_EVENTS_WAITING_MAX: usize = 1024;
