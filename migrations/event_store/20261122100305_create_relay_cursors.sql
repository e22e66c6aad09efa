-- The relay's position in each target that cannot report its own. A row moves only in the term of
-- the target's lease, and never names an event that the target may lack.

CREATE TABLE event_store.relay_cursors (
    target   text        PRIMARY KEY,
    epoch    uuid        NOT NULL,          -- the history in which the event was published
    position bigint      NOT NULL CHECK (position >= 0),
    event_id uuid,                          -- the event at that position; null before the first
    term     bigint      NOT NULL,          -- the term of the last leader that moved it
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_cursors_event CHECK ((position = 0) = (event_id IS NULL))
);
