-- The keys under which personal data in events is encrypted, one a subject, and the ledger of
-- erasures. They live apart from the log: in a schema of their own, best in a database of their own
-- whose backups are kept for a short time, since a backup brings keys back.

CREATE SCHEMA IF NOT EXISTS subject_keys;

CREATE TABLE subject_keys.keys (
    subject    uuid        PRIMARY KEY,
    -- the name of the master key that wraps it; null once destroyed
    master     text        COLLATE "C",
    -- null once destroyed: the row stays, so that the subject never gets another key
    wrapped    bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((master IS NULL) = (wrapped IS NULL))
-- A destroyed key's old row is to go from the file soon, not once many have gathered.
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- What was erased, when and by whom. The key is destroyed in the statement that adds the row; the
-- rest follows and is noted here.
CREATE TABLE subject_keys.erasures (
    subject         uuid        PRIMARY KEY REFERENCES subject_keys.keys (subject),
    requested_by    text        NOT NULL,   -- an opaque id
    requested_at    timestamptz NOT NULL DEFAULT now(),
    -- of subject.erased in the log; null until it is appended
    position        bigint,
    -- its id: a log that has another event there was restored, and is told again
    event_id        uuid,
    reservations_released bigint      NOT NULL DEFAULT 0,
    CHECK ((position IS NULL) = (event_id IS NULL))
);

-- One row: up to which event of the log every subject.erased has been applied to these keys. Keys
-- restored from a backup come with the row of that time, and so are told of every erasure since.
CREATE TABLE subject_keys.applied (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint  NOT NULL DEFAULT 0,
    event_id uuid,
    CHECK ((position = 0) = (event_id IS NULL))
);
INSERT INTO subject_keys.applied DEFAULT VALUES;

-- One row, once there is an event: the newest event of the log that whoever appends to it has seen,
-- and in which history. A log that does not have it has lost commits, and a process that was
-- started only since would not notice: this outlives both the process and, where the keys have a
-- server of their own, the log's.
CREATE TABLE subject_keys.known_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    uuid    NOT NULL,
    position bigint  NOT NULL CHECK (position > 0),
    event_id uuid    NOT NULL
);
