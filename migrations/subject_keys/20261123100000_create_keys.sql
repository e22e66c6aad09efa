-- The keys that encrypt personal data in events, one per subject, and the ledger of erasures. They
-- are separate from the log: in another schema, ideally in another database whose backups are kept
-- only briefly, because a backup brings keys back.

CREATE SCHEMA IF NOT EXISTS subject_keys;

CREATE TABLE subject_keys.keys (
    subject    uuid        PRIMARY KEY,
    -- the name of the master key that encrypts it; null once destroyed
    master     text        COLLATE "C",
    -- null once destroyed; the row stays, so that the subject never gets another key
    wrapped    bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((master IS NULL) = (wrapped IS NULL))
-- Vacuum soon: the old row of a destroyed key must disappear from the file early.
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- The ledger: what was erased, when and by whom. The statement that adds the row destroys the key.
-- Later steps are recorded here.
CREATE TABLE subject_keys.erasures (
    subject         uuid        PRIMARY KEY REFERENCES subject_keys.keys (subject),
    requested_by    text        NOT NULL,   -- an opaque id
    requested_at    timestamptz NOT NULL DEFAULT now(),
    -- the position of subject.erased in the log; null until it is appended
    position        bigint,
    -- the id of that event; if the log has another event there, it was restored and must be updated
    event_id        uuid,
    reservations_released bigint      NOT NULL DEFAULT 0,
    CHECK ((position IS NULL) = (event_id IS NULL))
);

-- One row: the position up to which every subject.erased was applied to these keys. Keys restored
-- from a backup come with an old row, so all later erasures are applied again.
CREATE TABLE subject_keys.applied (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint  NOT NULL DEFAULT 0,
    event_id uuid,
    CHECK ((position = 0) = (event_id IS NULL))
);
INSERT INTO subject_keys.applied DEFAULT VALUES;

-- One row, once there is an event: the newest event of the log that any appender has seen, and its
-- epoch. A log without this event has lost commits. A process that started later could not notice
-- that otherwise. The row survives the process and, if the keys are on another server, the log's
-- server.
CREATE TABLE subject_keys.known_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    uuid    NOT NULL,
    position bigint  NOT NULL CHECK (position > 0),
    event_id uuid    NOT NULL
);
