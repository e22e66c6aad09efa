-- The log: its events, their tags, its epochs, and the row whose lock puts appends in a line.
--
-- Text that is compared has the collation "C": the order of bytes, the fastest one, and the same
-- under every version of the operating system's locale data, on which a B-tree would otherwise
-- depend.

CREATE SCHEMA IF NOT EXISTS event_store;

-- A history of the log. A database that was restored, or promoted with commits missing, begins a
-- new one. Its id is a UUIDv7, later than those of the epochs that it follows: who meets two of
-- them, as a query with the token of a command, can tell which comes after which.
CREATE TABLE event_store.epochs (
    epoch       uuid        PRIMARY KEY,
    -- the last position that it shares with the epoch before
    began_after bigint      NOT NULL,
    reason      text        NOT NULL,       -- why it began, for people
    -- epochs of other copies of the log that this one goes on in place of
    abandoned   uuid[]      NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row. Whoever holds its lock appends; it also says which epoch is the current one, so that the
-- lock brings it along. Only its owner can lock it: an advisory lock could be taken by anyone who
-- can connect.
CREATE TABLE event_store.log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    uuid    NOT NULL REFERENCES event_store.epochs (epoch)
);

-- The id of an epoch that comes after these, whatever the clock says.
CREATE FUNCTION event_store.epoch_after(p_epochs uuid[]) RETURNS uuid
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
               PLACING substring(int8send(t.ms) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
    FROM (SELECT greatest(floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
                          (SELECT 1 + max(('x' || left(replace(e::text, '-', ''),
                              12))::bit(48)::bigint) FROM unnest(p_epochs) AS e)) AS ms) AS t
$function$;

-- Each database makes its own first epoch.
WITH first AS (
    INSERT INTO event_store.epochs (epoch, began_after, reason)
        VALUES (event_store.epoch_after('{}'), 0, 'the log was made') RETURNING epoch
)
INSERT INTO event_store.log (epoch) SELECT epoch FROM first;

-- The events. Only event_store.append writes here, and it only ever adds.
--
-- `data` is json: it keeps the text byte for byte, so that a digest over it can be checked for
-- ever, and Postgres still refuses what is no JSON. jsonb would reorder and re-spell numbers (see
-- "Measured" in event-store/src/postgres.rs).
CREATE TABLE event_store.events (
    position       bigint      NOT NULL,    -- dense from 1, in commit order (P1)
    version        bigint      NOT NULL,    -- dense from 1 within the stream (P2)
    event_id       uuid        NOT NULL,    -- UUIDv7, so that its index grows at one end
    -- the clock under the lock; never earlier than the event before
    recorded_at    timestamptz NOT NULL,
    schema_version integer     NOT NULL,    -- of the shape of data, from 1
    stream         text        COLLATE "C" NOT NULL,  -- <category>-<id>
    event_type     text        COLLATE "C" NOT NULL,  -- <category>.<what happened>
    data           json        NOT NULL,
    tags           text[]      COLLATE "C" NOT NULL,
    metadata       json        NOT NULL,    -- correlation_id, causation_id, actor, traceparent
    -- What a reader holds of it: a page of a read ends by bytes too.
    bytes          integer     NOT NULL GENERATED ALWAYS
        AS (octet_length(data::text) + octet_length(metadata::text)) STORED,
    CONSTRAINT events_position PRIMARY KEY (position),         -- read by position; guards density
    -- the authority for versions; reads of one stream
    CONSTRAINT events_stream_version UNIQUE (stream, version),
    -- recognises an append that was sent again
    CONSTRAINT events_event_id UNIQUE (event_id),
    CONSTRAINT events_versions_from_1 CHECK (position >= 1 AND version >= 1 AND schema_version >= 1)
);

-- Serves reads by category (sql/read_category.sql).
CREATE INDEX events_category_position ON event_store.events (split_part(stream, '-', 1), position);
-- Serves reads by event type (sql/read_types.sql).
CREATE INDEX events_type_position ON event_store.events (event_type, position);
-- Serves the look at start-up for what the log holds (sql/written_types.sql). Most events are of
-- version 1 and stay out of it.
CREATE INDEX events_type_later_version ON event_store.events (event_type, schema_version)
    WHERE schema_version > 1;

-- The tags once more, one row each: serves append conditions and reads by tag. A GIN index over
-- events.tags would collapse under appends that each bring a few new tags.
CREATE TABLE event_store.tags (
    tag      text   COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT tags_tag_position PRIMARY KEY (tag, position)
);

-- Digests of stretches of the log, each over the one before: a chain that shows a changed past. It
-- is kept here and filled behind the head, not in a column of events: a column would have to be
-- computed one event after the other while the lock is held (see "Measured" in
-- event-store/src/postgres.rs).
CREATE TABLE event_store.digests (
    last_position  bigint      PRIMARY KEY,
    first_position bigint      NOT NULL UNIQUE CHECK (first_position <= last_position),
    previous       bytea,                   -- the digest of the digest before; null in the first
    -- over previous and the events' digests in order
    digest         bytea       NOT NULL CHECK (octet_length(digest) = 32),
    -- the first 8 bytes of each event's digest: they tell which event was changed
    event_digests  bytea       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT digests_event_digests
        CHECK (octet_length(event_digests) = 8 * (last_position - first_position + 1))
);

-- Events and tags only grow: freeze them as they come, before a wraparound vacuum must.
ALTER TABLE event_store.events SET (autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE event_store.tags SET (autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
