-- Events that a fold refused: kept aside by key, so that the rest goes on. Written in the fenced
-- transaction of a partition's owner alone; people add skips and requests.
SET LOCAL ROLE read_model_owner;

-- An event that does not count in the row of a key yet. The event itself stays in the log.
CREATE TABLE read_model.parked (
    projection text        NOT NULL,
    generation integer     NOT NULL,
    partition       integer     NOT NULL,
    -- the row's key, as read_model.chunk_condition writes it
    key        text        NOT NULL,
    position   bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    event_type text        NOT NULL,
    -- why the fold refused it last; null: held back, since an earlier event of the key is parked
    cause      text,
    tries      integer     NOT NULL DEFAULT 0, -- how often it was tried again
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- when it is tried again by itself; null: with the events before it
    retry_at   timestamptz,
    PRIMARY KEY (projection, generation, key, position)
);

-- Keys whose rows lack parked events, whether or not there is such a row.
CREATE TABLE read_model.stale (
    projection text        NOT NULL,
    generation integer     NOT NULL,
    key        text        NOT NULL,
    -- later events count in the row nevertheless: its fold only adds
    incomplete boolean     NOT NULL,
    absent     boolean     NOT NULL,        -- there was no such row yet
    since      bigint      NOT NULL,        -- the position of the first event that it lacks
    PRIMARY KEY (projection, generation, key)
);

-- Decisions that an event is never to count in the row of a key: of every generation, and applied
-- by rebuilds and verifications alike.
CREATE TABLE read_model.skips (
    projection text        NOT NULL,
    position   bigint      NOT NULL,
    key        text        NOT NULL,
    event_id   uuid        NOT NULL,
    event_type text        NOT NULL,
    cause      text,                        -- why the fold had refused it
    skipped_by text        NOT NULL,
    reason     text        NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, position, key)
);

-- Keys that somebody wants tried again now. The partition's owner does it, and takes the request
-- away with its outcome.
CREATE TABLE read_model.retry_requests (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    key          text        NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, generation, key)
);

RESET ROLE;
