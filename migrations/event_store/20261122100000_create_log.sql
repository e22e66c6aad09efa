-- The log: its events, their tags, its epochs, and the row whose lock serialises appends.
--
-- Compared text has the collation "C", which sorts by bytes. It is the fastest, and it does not
-- change with the operating system's locale data, on which a B-tree would otherwise depend.

CREATE SCHEMA IF NOT EXISTS event_store;

-- A history of the log. A database that was restored, or promoted with commits missing, begins a
-- new one. The id is a UUIDv7, later than those of the earlier epochs. So a reader of two epochs,
-- such as a query with a command's token, knows their order.
CREATE TABLE event_store.epochs (
    epoch       uuid        PRIMARY KEY,
    -- the last position that it shares with the previous epoch
    began_after bigint      NOT NULL,
    reason      text        NOT NULL,       -- why it began, for people
    -- epochs of other copies of the log that this one replaces
    abandoned   uuid[]      NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row. An append holds its lock. It also names the current epoch, which the lock therefore
-- delivers. Only its owner can lock it; an advisory lock could be taken by anyone who can connect.
CREATE TABLE event_store.log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    uuid    NOT NULL REFERENCES event_store.epochs (epoch)
);

-- The id of an epoch that follows these ids, whatever the clock says.
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

-- Each database creates its own first epoch.
WITH first AS (
    INSERT INTO event_store.epochs (epoch, began_after, reason)
        VALUES (event_store.epoch_after('{}'), 0, 'the log was made') RETURNING epoch
)
INSERT INTO event_store.log (epoch) SELECT epoch FROM first;

-- The events. Only event_store.append writes here, and it only adds rows.
--
-- `data` is json, which keeps the text byte for byte. So a digest of it can always be checked, and
-- Postgres still refuses invalid JSON. jsonb would reorder keys and reformat numbers (see
-- "Measured" in event-store/src/postgres.rs).
CREATE TABLE event_store.events (
    position       bigint      NOT NULL,    -- dense from 1, in commit order (P1)
    version        bigint      NOT NULL,    -- dense from 1 within the stream (P2)
    event_id       uuid        NOT NULL,    -- UUIDv7, so that its index grows at one end
    -- the time under the lock; never earlier than that of the previous event
    recorded_at    timestamptz NOT NULL,
    schema_version integer     NOT NULL,    -- version of the shape of data, from 1
    stream         text        COLLATE "C" NOT NULL,  -- <category>-<id>
    event_type     text        COLLATE "C" NOT NULL,  -- <category>.<what happened>
    data           json        NOT NULL,
    tags           text[]      COLLATE "C" NOT NULL,
    metadata       json        NOT NULL,    -- the flow, the cause and the actor
    -- The memory that a reader needs for the event. Pages of reads are limited by bytes, too.
    bytes          integer     NOT NULL GENERATED ALWAYS
        AS (octet_length(data::text) + octet_length(metadata::text)) STORED,
    CONSTRAINT events_position PRIMARY KEY (position),         -- read by position; guards density
    -- guards versions; serves reads of one stream
    CONSTRAINT events_stream_version UNIQUE (stream, version),
    -- detects an append that was sent again
    CONSTRAINT events_event_id UNIQUE (event_id),
    CONSTRAINT events_versions_from_1 CHECK (position >= 1 AND version >= 1 AND schema_version >= 1)
);

-- Serves reads by category (sql/read_category.sql).
CREATE INDEX events_category_position ON event_store.events (split_part(stream, '-', 1), position);
-- Serves reads by event type (sql/read_types.sql).
CREATE INDEX events_type_position ON event_store.events (event_type, position);
-- Serves the check at start-up of which types the log holds (sql/written_types.sql). Most events
-- have version 1 and are not in the index.
CREATE INDEX events_type_later_version ON event_store.events (event_type, schema_version)
    WHERE schema_version > 1;

-- The tags again, one row each, for append conditions and reads by tag. A GIN index over
-- events.tags would be too slow for appends that each bring a few new tags.
CREATE TABLE event_store.tags (
    tag      text   COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT tags_tag_position PRIMARY KEY (tag, position)
);

-- Digests of ranges of the log, each including the previous digest: a chain that reveals a changed
-- past. It is filled behind the head and not kept in a column of events. Such a column would have
-- to be computed event by event while the lock is held (see "Measured" in
-- event-store/src/postgres.rs).
CREATE TABLE event_store.digests (
    last_position  bigint      PRIMARY KEY,
    first_position bigint      NOT NULL UNIQUE CHECK (first_position <= last_position),
    previous       bytea,                   -- the previous digest; null in the first
    -- of the previous digest and the events' digests in order
    digest         bytea       NOT NULL CHECK (octet_length(digest) = 32),
    -- the first 8 bytes of each event's digest, to identify a changed event
    event_digests  bytea       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT digests_event_digests
        CHECK (octet_length(event_digests) = 8 * (last_position - first_position + 1))
);

-- Events and tags only grow. Freeze them early, before an anti-wraparound vacuum has to.
ALTER TABLE event_store.events SET (autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE event_store.tags SET (autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
