-- Operations that people requested from the projectors: who, why, and the progress of each. The
-- projectors work through them. A request survives the process that accepted it.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.operations (
    id            uuid        PRIMARY KEY,     -- version 7: by time
    kind          text        NOT NULL,
    projection    text        NOT NULL,
    -- the fold of the process that accepted the request; only a process with the same fold may run
    -- it
    fold          text        NOT NULL,
    arguments     jsonb       NOT NULL DEFAULT '{}',
    -- the holder of an access token, as 'user:ID'; without one, what they said of themselves
    requested_by  text        NOT NULL CHECK (requested_by <> ''),
    -- the session or API key of that token
    requested_with uuid,
    reason        text        NOT NULL CHECK (reason <> ''),
    requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    state         text        NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    work          text,                        -- the current stage, for people
    position      bigint      NOT NULL DEFAULT 0,
    end_position  bigint      NOT NULL DEFAULT 0,
    -- the attempt that may write here; a process with another id has been replaced
    worker        uuid,
    attempts      integer     NOT NULL DEFAULT 0,
    started_at    timestamptz,
    heartbeat_at  timestamptz,
    cancel_wanted boolean     NOT NULL DEFAULT false,
    cancelled_by  text,
    cancelled_with uuid,
    result        jsonb,
    -- why it failed; while it runs, what it waits for
    error         text,
    finished_at   timestamptz,
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'running')))
) WITH (fillfactor = 50);                      -- progress is written once a second
-- One at a time per projection.
CREATE UNIQUE INDEX operations_unfinished ON read_model.operations (projection)
    WHERE finished_at IS NULL;
-- Readers of the tables may not see people's names and reasons.
REVOKE SELECT ON read_model.operations FROM read_model_reader;

-- Projections that are paused until a person resumes them.
CREATE TABLE read_model.pauses (
    projection text        PRIMARY KEY,
    paused_by  text        NOT NULL,
    reason     text        NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE SELECT ON read_model.pauses FROM read_model_reader;

RESET ROLE;
