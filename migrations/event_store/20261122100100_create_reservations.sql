-- Unique claims: values that one stream alone may hold, as keyed hashes, so that no personal value stands here.

CREATE TABLE event_store.claims (
    scope    text   COLLATE "C" NOT NULL,   -- what kind of value, such as user.email
    hash     bytea  NOT NULL CHECK (octet_length(hash) = 32),
    owner    text   COLLATE "C" NOT NULL,   -- the stream that holds it
    position bigint NOT NULL,               -- the head of the log when it was taken
    CONSTRAINT claims_scope_hash PRIMARY KEY (scope, hash)
);

-- Serves the claims of all streams with one id (sql/claims_of.sql): whose they are is erased.
CREATE INDEX claims_owner_id ON event_store.claims (substr(owner, strpos(owner, '-') + 1));
