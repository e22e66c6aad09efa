-- One row per saga. It runs once per generation, in that generation's schema.
CREATE TABLE sagas (
    id          uuid PRIMARY KEY,
    saga        text NOT NULL,
    key         text NOT NULL,              -- what it is about, such as the id of an order
    definition  integer NOT NULL,           -- the version of its steps
    -- running | compensating | completed | compensated | parked
    status      text NOT NULL,
    resumes_as  text NOT NULL,              -- what it was when it was parked
    step        text,                       -- the latest one; null at the end
    failures    bigint NOT NULL,            -- attempts that failed
    reason      text,                       -- why it is undone
    parked_for  text,                       -- why it is parked
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    updated_at  timestamptz NOT NULL,
    version     bigint NOT NULL,            -- the version of the saga's stream
    position    bigint NOT NULL             -- the last event that changed this row
);
