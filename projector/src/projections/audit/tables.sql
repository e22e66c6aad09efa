-- One row per event. It runs once per generation, in that generation's schema.
CREATE TABLE audit (
    id             uuid PRIMARY KEY,        -- the event's id
    recorded_at    timestamptz NOT NULL,    -- when it was appended
    event_type     text NOT NULL,           -- what happened
    stream         text NOT NULL,           -- to what: the category and the id
    principal      text,                    -- who acted: anonymous | user:ID | system:NAME
    credential_id  uuid,                    -- the session or API key that proved it
    client         text,                    -- the client that acted for the principal
    correlation_id uuid NOT NULL,           -- the business flow
    causation_id   uuid,                    -- the command or event that caused it
    position       bigint NOT NULL          -- the event's position in the log
);
