-- The chat state. Ids and counters are u64 in Rust and stored bit by bit in SQLite's i64.

-- Where this state stands in the log, and the ids the next rows get.
CREATE TABLE progress (
    only               INTEGER PRIMARY KEY CHECK (only = 0),
    -- Last applied log id (term, node, index) and where the membership was logged, postcard; NULL before the first.
    applied            BLOB,
    membership_log_id  BLOB,
    membership         BLOB    NOT NULL,
    state_hash         BLOB    NOT NULL,
    next_user          INTEGER NOT NULL,
    next_conversation  INTEGER NOT NULL,
    next_message       INTEGER NOT NULL
);

CREATE TABLE users (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL,
    nickname       TEXT    NOT NULL,
    -- Argon2id, PHC text; NULL once deleted.
    password_hash  TEXT,
    view_limit     INTEGER NOT NULL,
    created_ms     INTEGER NOT NULL,
    -- NULL while the account lives. A deleted one keeps its row: its messages still name it.
    deleted_ms     INTEGER
);
CREATE UNIQUE INDEX users_by_name ON users (name) WHERE deleted_ms IS NULL;

CREATE TABLE conversations (
    id           INTEGER PRIMARY KEY,
    legacy_id    TEXT    NOT NULL UNIQUE,
    -- The two of a direct conversation, smaller id first (equal: a notebook); NULL for a group.
    low          INTEGER,
    high         INTEGER,
    -- Highest message number handed out.
    last_number  INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL
);
CREATE UNIQUE INDEX conversations_by_pair ON conversations (low, high) WHERE low IS NOT NULL;

CREATE TABLE members (
    conversation  INTEGER NOT NULL REFERENCES conversations (id),
    user          INTEGER NOT NULL REFERENCES users (id),
    read_mark     INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
) WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user);

CREATE TABLE messages (
    -- Rises over the whole cluster, so inserting is appending.
    id            INTEGER PRIMARY KEY,
    conversation  INTEGER NOT NULL REFERENCES conversations (id),
    number        INTEGER NOT NULL,
    sender        INTEGER NOT NULL REFERENCES users (id),
    time_ms       INTEGER NOT NULL,
    -- 1 once deleted; the text is then empty.
    deleted       INTEGER NOT NULL DEFAULT 0,
    -- The write that made it, for good: a resend days later is recognised.
    device        INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    -- Last, because it may be long: the other columns are then read without walking through it.
    text          TEXT    NOT NULL
);
-- History, newest message and unread count come from this index; deleted messages leave it.
CREATE UNIQUE INDEX messages_live ON messages (conversation, number, sender) WHERE deleted = 0;

-- How far each writer has come.
CREATE TABLE writers (
    device    INTEGER PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL
);

-- The outcomes of each writer's last runs, one row per run, postcard.
CREATE TABLE kept_runs (
    device     INTEGER NOT NULL,
    first_seq  INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    outcomes   BLOB    NOT NULL,
    PRIMARY KEY (device, first_seq)
) WITHOUT ROWID;

CREATE TABLE join_codes (
    hash        BLOB    PRIMARY KEY,
    expires_ms  INTEGER NOT NULL,
    used_by     INTEGER
) WITHOUT ROWID;
