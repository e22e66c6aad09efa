-- Uniqueness reservations: values that only one stream may hold. They are keyed hashes, so the
-- table has no personal values.

CREATE TABLE event_store.reservations (
    scope    text   COLLATE "C" NOT NULL,   -- what kind of value, such as user.email
    hash     bytea  NOT NULL CHECK (octet_length(hash) = 32),
    owner    text   COLLATE "C" NOT NULL,   -- the stream that holds it
    position bigint NOT NULL,               -- the head of the log when it was taken
    CONSTRAINT reservations_scope_hash PRIMARY KEY (scope, hash)
);

-- Serves finding the reservations of all streams with one id (sql/reservations_of.sql), for
-- erasures.
CREATE INDEX reservations_owner_id ON event_store.reservations (substr(owner, strpos(owner,
    '-') + 1));
