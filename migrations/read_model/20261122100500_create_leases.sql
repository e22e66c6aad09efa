-- Who projects what: a row for each partition of each generation, named
-- <projection>_g<generation>/<partition>.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                       -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of hands
    backend_pid integer,                    -- the owner's connection: ended by whoever takes over
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);                   -- renewed every few seconds: room for HOT updates

-- The projector processes that run now, so that they can share the partitions among themselves.
CREATE TABLE read_model.projectors (
    owner       uuid        PRIMARY KEY,    -- as in leases
    -- one of its connections: once that is gone, so is the process
    backend_pid integer     NOT NULL,
    -- what it can project: '<projection> <fold version> <digest of its tables>'
    folds       text[]      NOT NULL,
    -- a process that says nothing until then is gone or hangs
    expires_at  timestamptz NOT NULL
) WITH (fillfactor = 20);                   -- renewed twice a second: room for HOT updates

RESET ROLE;
