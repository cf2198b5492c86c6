-- Every change that a user may come to see has a number, from the counter that messages take their ids from
-- (progress.next_message). Rows remember the number of their last change; 0: none since changes are counted.

ALTER TABLE users ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;

-- The number of its making; for one from before changes were counted, the id of its first message, and until then 0.
ALTER TABLE conversations ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
UPDATE conversations SET changed = first.id
    FROM (SELECT conversation, min(id) AS id FROM messages GROUP BY conversation) AS first
    WHERE first.conversation = conversations.id;

-- Messages up to this number are on a device of the member. Who has read has received.
ALTER TABLE members ADD COLUMN delivered_mark INTEGER NOT NULL DEFAULT 0;
UPDATE members SET delivered_mark = read_mark;
-- Of the marks.
ALTER TABLE members ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
-- Messages up to this number are gone from the member's own view, and when that last changed.
ALTER TABLE members ADD COLUMN cleared INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN cleared_changed INTEGER NOT NULL DEFAULT 0;

-- Of the deletion.
ALTER TABLE messages ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_deleted ON messages (conversation, changed) WHERE deleted = 1;

-- Where people are logged in. A revoked one keeps its row: its id never comes back.
CREATE TABLE devices (
    id          INTEGER PRIMARY KEY,
    user        INTEGER NOT NULL REFERENCES users (id),
    name        TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    -- Last login or resumption.
    seen_ms     INTEGER NOT NULL,
    -- NULL while it is logged in.
    revoked_ms  INTEGER
);
CREATE INDEX devices_by_user ON devices (user) WHERE revoked_ms IS NULL;

-- SHA-256 of the tokens of devices that are logged in.
CREATE TABLE device_tokens (
    hash    BLOB    PRIMARY KEY,
    device  INTEGER NOT NULL REFERENCES devices (id),
    -- 0 current: the newest one that was used; 1 pending: a successor that was not used yet; 2 retired.
    role    INTEGER NOT NULL,
    -- Rises with each token that takes a role.
    rank    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX device_tokens_by_device ON device_tokens (device);
