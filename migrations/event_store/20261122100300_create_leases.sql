-- The relay's leases. The columns are the same as in read_model.leases.

CREATE TABLE event_store.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                       -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of owner
    backend_pid integer,                    -- the owner's backend; the next owner ends it
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
);
