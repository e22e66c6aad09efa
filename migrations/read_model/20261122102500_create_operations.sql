-- What people asked the projectors to do: a record of who and why, and how far each request is. The
-- projectors work through it; a request outlives the process that took it.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.operations (
    id            uuid        PRIMARY KEY,     -- version 7: by time
    kind          text        NOT NULL,
    projection    text        NOT NULL,
    -- what folds it in the process that took the request: only its like may carry it out
    fold          text        NOT NULL,
    arguments     jsonb       NOT NULL DEFAULT '{}',
    requested_by  text        NOT NULL CHECK (requested_by <> ''),
    reason        text        NOT NULL CHECK (reason <> ''),
    requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    state         text        NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    work          text,                        -- what is being done, in words for people
    position      bigint      NOT NULL DEFAULT 0,
    end_position  bigint      NOT NULL DEFAULT 0,
    -- the attempt that may write here: another one has taken over from whoever has another id
    worker        uuid,
    attempts      integer     NOT NULL DEFAULT 0,
    started_at    timestamptz,
    heartbeat_at  timestamptz,
    cancel_wanted boolean     NOT NULL DEFAULT false,
    cancelled_by  text,
    result        jsonb,
    -- why it failed; while it runs, what it waits for
    error         text,
    finished_at   timestamptz,
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'running')))
) WITH (fillfactor = 50);                      -- progress is written once a second
-- One at a time for each projection.
CREATE UNIQUE INDEX operations_unfinished ON read_model.operations (projection)
    WHERE finished_at IS NULL;
-- Names of people and their reasons are not for whoever reads the tables.
REVOKE SELECT ON read_model.operations FROM read_model_reader;

-- Projections that nobody projects until somebody resumes them.
CREATE TABLE read_model.pauses (
    projection text        PRIMARY KEY,
    paused_by  text        NOT NULL,
    reason     text        NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE SELECT ON read_model.pauses FROM read_model_reader;

RESET ROLE;
