-- Who projects what: a row for each part of each generation, named <projection>_g<generation>/<part>.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                       -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of hands
    backend_pid integer,                    -- the owner's connection: ended by whoever takes over
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);                   -- renewed every few seconds: room for HOT updates

RESET ROLE;
