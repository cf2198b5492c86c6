-- Nodes that were shut out of the cluster: their ids never come back.
CREATE TABLE removed_nodes (
    node     INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL,
    -- Name of the server on which an operator asked for it.
    by       TEXT    NOT NULL,
    time_ms  INTEGER NOT NULL
);
