-- Subscriptions of outside receivers, how far each was sent the log, and what could not be
-- delivered. No payload is kept here: each attempt reads its event from the log.

DO $$
BEGIN
    -- Roles belong to the whole cluster, so another database's migration may have created it, or be
    -- creating it now.
    CREATE ROLE webhooks_sender NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;

-- The owner of all sending.
CREATE TABLE webhooks.leases (
    name        text        PRIMARY KEY,
    owner       uuid,                   -- null while nobody holds it
    term        bigint      NOT NULL DEFAULT 0, -- +1 at every change of owner
    backend_pid integer,                -- the owner's backend; the next owner ends it
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);

CREATE TABLE webhooks.subscriptions (
    id            uuid        PRIMARY KEY,
    name          text        NOT NULL, -- for people
    url           text        NOT NULL,
    types         text[]      NOT NULL, -- the event types that it gets, besides subject.erased
    personal      boolean     NOT NULL, -- whether personal fields are sent in the clear
    secret_key    text        NOT NULL, -- the name of the key that wraps the secret
    secret        bytea       NOT NULL,
    old_key       text,                 -- the secret before the last rotation signs until old_until
    old_secret    bytea,
    old_until     timestamptz,
    paused_for    text,                 -- why nothing is sent; null if it is active
    failing_since timestamptz,          -- the first failure after the last success
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by    text        NOT NULL,
    CHECK ((old_secret IS NULL) = (old_until IS NULL) AND (old_secret IS NULL) = (old_key IS NULL))
) WITH (fillfactor = 50);

-- What is sent to a subscription: the live feed, whose id is the subscription's, and replays.
CREATE TABLE webhooks.feeds (
    id             uuid        PRIMARY KEY,
    subscription   uuid        NOT NULL REFERENCES webhooks.subscriptions ON DELETE CASCADE,
    -- The last event that was sent, or whose failure is recorded. The id proves continuity.
    epoch          uuid,
    position       bigint      NOT NULL,
    event_id       uuid,
    types          text[],              -- of a replay; null means those of the subscription
    until          bigint,              -- the last position of a replay
    rate           integer,             -- the maximum number of events per second of a replay
    reason         text,                -- why a person asked for the replay
    requested_by   text,
    requested_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended          text        CHECK (ended IN ('done', 'cancelled')),
    ended_at       timestamptz,
    CHECK ((position = 0) = (event_id IS NULL)),
    CHECK ((id = subscription) = (until IS NULL)),
    CHECK ((ended IS NULL) = (ended_at IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX feeds_of ON webhooks.feeds (subscription);

-- The events at or before a feed's position that have not been delivered.
CREATE TABLE webhooks.deliveries (
    feed     uuid        NOT NULL REFERENCES webhooks.feeds ON DELETE CASCADE,
    position bigint      NOT NULL,
    event_id uuid        NOT NULL,
    type     text        NOT NULL,
    attempts integer     NOT NULL,
    next_at  timestamptz,               -- when to try again; null if it is parked
    error    text        NOT NULL,      -- the kind of the last failure
    status   integer,                   -- the HTTP status of the last answer
    first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (feed, position)
);
CREATE INDEX deliveries_due ON webhooks.deliveries (feed, next_at) WHERE next_at IS NOT NULL;

-- What people decided.
CREATE TABLE webhooks.audit (
    id           bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    by           text        NOT NULL,  -- user:ID with an access token, a claim without
    credential   uuid,                  -- the session or API key of the token
    action       text        NOT NULL,
    subscription uuid        NOT NULL,
    detail       jsonb       NOT NULL
);

GRANT USAGE ON SCHEMA webhooks TO webhooks_sender;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA webhooks TO webhooks_sender;
-- Records of decisions are only added.
REVOKE UPDATE, DELETE ON webhooks.audit FROM webhooks_sender;
