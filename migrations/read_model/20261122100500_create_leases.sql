-- The owners of partitions: a row for each partition of each generation, named
-- <projection>_g<generation>/<partition>.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                       -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of owner
    backend_pid integer,                    -- the owner's backend; the next owner ends it
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);                   -- renewed every few seconds: room for HOT updates

-- The running projector processes, which share the partitions among themselves.
CREATE TABLE read_model.projectors (
    owner       uuid        PRIMARY KEY,    -- as in leases
    -- one of its connections; when that ends, the process has ended
    backend_pid integer     NOT NULL,
    -- what it can project: '<projection> <fold version> <digest of its tables>'
    folds       text[]      NOT NULL,
    -- a process that does not renew by then is gone or hangs
    expires_at  timestamptz NOT NULL
) WITH (fillfactor = 20);                   -- renewed twice a second; leaves room for HOT updates

RESET ROLE;
