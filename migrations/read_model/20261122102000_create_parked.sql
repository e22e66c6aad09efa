-- Events that a fold refused. They are set aside by key, so that the rest continues. Only the
-- fenced transaction of a partition's owner writes here; people add skips and requests.
SET LOCAL ROLE read_model_owner;

-- An event that a key's row has not applied yet. The event itself stays in the log.
CREATE TABLE read_model.parked (
    projection text        NOT NULL,
    generation integer     NOT NULL,
    partition       integer     NOT NULL,
    -- the row's key, as read_model.chunk_condition writes it
    key        text        NOT NULL,
    position   bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    event_type text        NOT NULL,
    -- why the fold last refused it; null if it is held back behind an earlier event of the key
    cause      text,
    tries      integer     NOT NULL DEFAULT 0, -- the number of retries
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- the time of the next automatic retry; null: together with earlier events
    retry_at   timestamptz,
    PRIMARY KEY (projection, generation, key, position)
);

-- Keys whose rows lack parked events, even if the row does not exist.
CREATE TABLE read_model.stale (
    projection text        NOT NULL,
    generation integer     NOT NULL,
    key        text        NOT NULL,
    -- later events are applied to the row anyway, because its fold only adds
    incomplete boolean     NOT NULL,
    absent     boolean     NOT NULL,        -- the row did not exist yet
    since      bigint      NOT NULL,        -- the position of the first event that it lacks
    PRIMARY KEY (projection, generation, key)
);

-- Decisions never to apply an event to a key's row. They hold for every generation, and rebuilds
-- and verifications follow them.
CREATE TABLE read_model.skips (
    projection text        NOT NULL,
    position   bigint      NOT NULL,
    key        text        NOT NULL,
    event_id   uuid        NOT NULL,
    event_type text        NOT NULL,
    cause      text,                        -- why the fold refused it
    skipped_by text        NOT NULL,
    reason     text        NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, position, key)
);

-- Keys with a request to retry now. The partition's owner retries, and deletes the request with the
-- outcome.
CREATE TABLE read_model.retry_requests (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    key          text        NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, generation, key)
);

RESET ROLE;
