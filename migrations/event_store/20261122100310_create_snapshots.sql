-- States of streams at some version, so that a long stream need not be folded from its first event.
--
-- Snapshots are only an optimisation: any row may be deleted at any time. A snapshot with another
-- shape or epoch, or whose event is not the log's at its position, is ignored and replaced. A state
-- with personal data is encrypted as a whole with the keys of all its subjects, so it cannot be
-- decrypted once one of them is erased.

CREATE TABLE event_store.snapshots (
    stream   text        COLLATE "C" PRIMARY KEY,
    -- the version of the state's shape and of the code that computes it
    shape    integer     NOT NULL,
    epoch    uuid        NOT NULL,              -- the epoch in which it was taken
    version  bigint      NOT NULL,              -- the version of its last event
    position bigint      NOT NULL,              -- the position of that event
    event_id uuid        NOT NULL,              -- the id of that event
    state    json        NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);
