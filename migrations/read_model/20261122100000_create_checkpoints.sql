-- How far each partition of each generation of each projection is, and who may move it.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.checkpoints (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    partition         integer     NOT NULL,
    -- the version of the code that folds; another one is another generation
    fold_version integer     NOT NULL,
    -- the history that position belongs to; null before the first event
    epoch        uuid,
    position     bigint      NOT NULL DEFAULT 0,
    -- the id of the event at position: proves continuity; null at 0
    event_id     uuid,
    -- events up to position that the projection handles: applied, parked or skipped
    handled      bigint      NOT NULL DEFAULT 0,
    -- events up to position that are none of its business: both add up to position
    ignored  bigint      NOT NULL DEFAULT 0,
    -- of the lease whose owner moved it last; a lower one can never move it again
    term         bigint      NOT NULL DEFAULT 0,
    -- starting | live | polling | catching_up | stopped | rebuilding
    mode         text        NOT NULL DEFAULT 'starting',
    -- why it is stopped, in words for people; null unless it is
    stopped_by   text,
    head         bigint      NOT NULL DEFAULT 0, -- the store's head when last compared
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation, partition),
    CHECK ((position = 0) = (event_id IS NULL))
) WITH (fillfactor = 20);                   -- updated per batch: room for HOT updates

-- The generations, and which one the views in read_model show. A ready one is projected by every
-- process that knows what folded it.
CREATE TABLE read_model.generations (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    fold_version integer     NOT NULL,
    -- a digest of what created its tables and indexes: others are another generation
    tables       text        NOT NULL DEFAULT '',
    -- of its keys, by their hash; fixed from the beginning
    partitions        integer     NOT NULL DEFAULT 1 CHECK (partitions BETWEEN 1 AND 64),
    live         boolean     NOT NULL,
    state        text        NOT NULL DEFAULT 'ready' CHECK (state IN ('building', 'ready')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- when another one took its place in the views; null unless it was live
    live_until   timestamptz,
    PRIMARY KEY (projection, generation),
    CHECK (state = 'ready' OR NOT live)
);
CREATE UNIQUE INDEX generations_one_live ON read_model.generations (projection) WHERE live;

-- The last number that a generation of a projection got: none is used twice.
CREATE TABLE read_model.generation_numbers (
    projection text    PRIMARY KEY,
    last       integer NOT NULL
);

-- Which partition of so many a key belongs to: the first four bytes of SHA-256 over its text, as
-- one big-endian number, modulo the partitions. The program asks the same of the same text
-- (service-kit/src/partition.rs).
CREATE FUNCTION read_model.partition_of(key text, partitions integer) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE partitions WHEN 1 THEN 0
           ELSE (('x' || encode(substr(sha256(convert_to(key, 'UTF8')), 1, 4),
               'hex'))::bit(32)::bigint % partitions)::integer END;
$$;

-- What a rebuild has left to do, beside its checkpoint; gone once the generation is dropped.
CREATE TABLE read_model.rebuilds (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    phase        text        NOT NULL DEFAULT 'loading' CHECK (phase IN ('loading', 'catching_up',
        'compared', 'switched')),
    -- constraints of its tables that are made once rows are in: as ALTER TABLE … ADD takes them
    set_aside    text[]      NOT NULL DEFAULT '{}',
    pause_wanted boolean     NOT NULL DEFAULT false,
    -- which of read_model.operations works on it; null: a command line
    operation    uuid,
    started_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation),
    FOREIGN KEY (projection, generation) REFERENCES read_model.generations ON DELETE CASCADE
);

RESET ROLE;
