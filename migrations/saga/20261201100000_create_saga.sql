-- The work of sagas: which instances have something to do, and when. All of it is a fold of the
-- log, and can be deleted: the next process folds it again.

DO $$
BEGIN
    -- Roles belong to the whole cluster, so another database's migration may have created it, or be
    -- creating it now.
    CREATE ROLE saga_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;

-- How far the log was folded, and who may move it.
CREATE TABLE saga.checkpoints (
    name     text   PRIMARY KEY,
    term     bigint NOT NULL,           -- a lower term can never move it again
    epoch    uuid,                      -- the epoch that position belongs to
    position bigint NOT NULL,
    event_id uuid,                      -- the id of the event at position, which proves continuity
    CHECK ((position = 0) = (event_id IS NULL))
) WITH (fillfactor = 20);               -- updated per batch; leaves room for HOT updates

-- The owner of the fold.
CREATE TABLE saga.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                   -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of owner
    backend_pid integer,                -- the owner's backend; the next owner ends it
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);

-- The processes that drive instances.
CREATE TABLE saga.drivers (
    id          uuid        PRIMARY KEY,
    -- the connection that renews it; when that ends, the process has ended
    backend_pid integer     NOT NULL,
    expires_at  timestamptz NOT NULL    -- a process that does not renew by then hangs
) WITH (fillfactor = 20);

-- One row per instance that has not ended.
CREATE TABLE saga.work (
    id         uuid        PRIMARY KEY, -- of the instance, as in its stream
    saga       text        NOT NULL,
    begun      jsonb,                   -- key, data and origin of one that is to begin
    version    bigint      NOT NULL DEFAULT 0, -- of its stream, as far as this row knows
    -- running | compensating | parked | completed | compensated; absent before a driver saw it
    status     text        NOT NULL DEFAULT 'absent',
    definition integer     NOT NULL DEFAULT 0,
    key        text        NOT NULL DEFAULT '',
    waits_for  text        NOT NULL DEFAULT '', -- the steps that are not settled, for people
    reason     text,                    -- why it is parked or undone
    due_at     timestamptz,             -- when a driver must look; null if only a signal moves it
    driver     uuid,                    -- who drives it now
    -- counts what a driver must look at: a driver that knows less gives the row back as due
    news       bigint      NOT NULL DEFAULT 0,
    failures   integer     NOT NULL DEFAULT 0, -- how often in a row nobody could drive it
    moved_at   timestamptz NOT NULL     -- the last progress
);
CREATE INDEX work_due ON saga.work (due_at) WHERE driver IS NULL AND due_at IS NOT NULL;
CREATE INDEX work_driven ON saga.work (driver) WHERE driver IS NOT NULL;
CREATE INDEX work_listed ON saga.work (saga, status, moved_at);

-- The events of the log that instances have not received yet.
CREATE TABLE saga.signals (
    id       uuid   NOT NULL,
    position bigint NOT NULL,
    signal   jsonb  NOT NULL,
    PRIMARY KEY (id, position)
);

GRANT USAGE ON SCHEMA saga TO saga_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA saga TO saga_worker;
