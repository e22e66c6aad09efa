-- The result of each append that had an idempotency key. Rows are kept as long as the log.

CREATE TABLE event_store.idempotency (
    -- a digest of scope and key
    key          bytea    NOT NULL CHECK (octet_length(key) = 32),
    -- a different request with the key is refused
    request_hash bytea    NOT NULL CHECK (octet_length(request_hash) = 32),
    -- distinguishes an append that was sent again from a client's repeat
    append_id    uuid     NOT NULL,
    epoch        uuid     NOT NULL,
    position     bigint   NOT NULL,         -- its last event, or the head if it had none
    event_count  integer  NOT NULL,
    streams      text[]   COLLATE "C" NOT NULL, -- the streams that it named
    versions     bigint[] NOT NULL,         -- their versions afterwards
    -- the caller's answer to a repeat; never personal data
    answer       json     NOT NULL,
    CONSTRAINT idempotency_key PRIMARY KEY (key)
);
