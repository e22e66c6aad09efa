-- Who leads: the relay's lease. The same columns as read_model.leases.

CREATE TABLE event_store.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                       -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of hands
    backend_pid integer,                    -- the owner's connection: ended by whoever takes over
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
);
