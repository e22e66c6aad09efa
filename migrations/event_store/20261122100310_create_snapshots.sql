-- States of streams at some version, so that a long stream need not be folded from its first event.
--
-- Never needed for a right answer: any row may be deleted at any time. One whose shape or epoch is
-- another, or whose event is not the log's at its position, is passed over and replaced. A state
-- with personal data is encrypted as a whole under the keys of all whose data they are, so that it
-- opens no more once one of them is erased.

CREATE TABLE event_store.snapshots (
    stream   text        COLLATE "C" PRIMARY KEY,
    -- the version of the state's shape and of what works it out
    shape    integer     NOT NULL,
    epoch    uuid        NOT NULL,              -- the history in which it was taken
    version  bigint      NOT NULL,              -- of the last event in it
    position bigint      NOT NULL,              -- that event's
    event_id uuid        NOT NULL,              -- that event's
    state    json        NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);
