-- What a user name is found by, what it looks like, and what a search compares: made of the name by the node that proposed it,
-- and of older rows by this step (storage/name_keys.rs). NULL: an account made at a rule level without keys.
ALTER TABLE users ADD COLUMN fold TEXT;
ALTER TABLE users ADD COLUMN skeleton TEXT;
ALTER TABLE users ADD COLUMN search TEXT;
-- What a search compares of the nickname.
ALTER TABLE users ADD COLUMN nickname_search TEXT;
-- Deleted ones too: their names rest.
CREATE INDEX users_by_fold ON users (fold);
CREATE INDEX users_by_skeleton ON users (skeleton);
-- All that a search reads, in its order.
CREATE INDEX users_searched ON users (name, search, nickname_search, nickname, deleted_ms) WHERE deleted_ms IS NULL;
