-- Devices that are logged out: the oldest ones of a user are forgotten.
CREATE INDEX devices_revoked_by_user ON devices (user, revoked_ms, id) WHERE revoked_ms IS NOT NULL;
