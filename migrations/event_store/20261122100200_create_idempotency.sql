-- What became of each append that carried an idempotency key; kept as long as the log.

CREATE TABLE event_store.idempotency (
    -- a digest of scope and key
    key          bytea    NOT NULL CHECK (octet_length(key) = 32),
    -- another request under the key is refused
    request_hash bytea    NOT NULL CHECK (octet_length(request_hash) = 32),
    -- tells an append that was sent again from a repeat by a client
    append_id    uuid     NOT NULL,
    epoch        uuid     NOT NULL,
    position     bigint   NOT NULL,         -- its last event, or the head when it had none
    event_count  integer  NOT NULL,
    streams      text[]   COLLATE "C" NOT NULL, -- the streams that it named
    versions     bigint[] NOT NULL,         -- their versions after it
    -- what the caller wants back on a repeat; nothing personal
    answer       json     NOT NULL,
    CONSTRAINT idempotency_key PRIMARY KEY (key)
);
