-- From which addresses clients of the original's gRPC package may act for whom.
CREATE TABLE bound_addresses (
    user      INTEGER NOT NULL REFERENCES users (id),
    -- IPv6, 16 bytes; an IPv4 address is mapped into it.
    address   BLOB    NOT NULL,
    -- Milliseconds since 1970, UTC.
    until_ms  INTEGER NOT NULL,
    PRIMARY KEY (user, address)
) WITHOUT ROWID;
CREATE INDEX bound_addresses_by_address ON bound_addresses (address, until_ms);
CREATE INDEX bound_addresses_by_end ON bound_addresses (until_ms);
