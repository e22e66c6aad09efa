-- The position of each partition of each generation of each projection, and who may move it.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.checkpoints (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    partition         integer     NOT NULL,
    -- the version of the code that folds; another version needs another generation
    fold_version integer     NOT NULL,
    -- the epoch that position belongs to; null before the first event
    epoch        uuid,
    position     bigint      NOT NULL DEFAULT 0,
    -- the id of the event at position, which proves continuity; null at 0
    event_id     uuid,
    -- events up to position that the projection handles: applied, parked or skipped
    handled      bigint      NOT NULL DEFAULT 0,
    -- events up to position that it does not handle; the two add up to position
    ignored  bigint      NOT NULL DEFAULT 0,
    -- the term of the lease whose owner moved it last; a lower term can never move it again
    term         bigint      NOT NULL DEFAULT 0,
    -- starting | live | polling | catching_up | stopped | rebuilding
    mode         text        NOT NULL DEFAULT 'starting',
    -- why it is stopped, for people; otherwise null
    stopped_by   text,
    head         bigint      NOT NULL DEFAULT 0, -- the store's head when last compared
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation, partition),
    CHECK ((position = 0) = (event_id IS NULL))
) WITH (fillfactor = 20);                   -- updated per batch; leaves room for HOT updates

-- The generations, and which one the views in read_model show. Every process with the same fold
-- projects a ready generation.
CREATE TABLE read_model.generations (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    fold_version integer     NOT NULL,
    -- a digest of the statements that created its tables and indexes; others need another
    -- generation
    tables       text        NOT NULL DEFAULT '',
    -- the number of partitions, by a hash of its keys; fixed from the beginning
    partitions        integer     NOT NULL DEFAULT 1 CHECK (partitions BETWEEN 1 AND 64),
    live         boolean     NOT NULL,
    state        text        NOT NULL DEFAULT 'ready' CHECK (state IN ('building', 'ready')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- when another one replaced it in the views; null unless it was live
    live_until   timestamptz,
    PRIMARY KEY (projection, generation),
    CHECK (state = 'ready' OR NOT live)
);
CREATE UNIQUE INDEX generations_one_live ON read_model.generations (projection) WHERE live;

-- The last generation number of a projection. Numbers are never reused.
CREATE TABLE read_model.generation_numbers (
    projection text    PRIMARY KEY,
    last       integer NOT NULL
);

-- The partition of a key: the first four bytes of the SHA-256 of its text, as a big-endian number,
-- modulo the number of partitions. service-kit/src/partition.rs computes the same.
CREATE FUNCTION read_model.partition_of(key text, partitions integer) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE partitions WHEN 1 THEN 0
           ELSE (('x' || encode(substr(sha256(convert_to(key, 'UTF8')), 1, 4),
               'hex'))::bit(32)::bigint % partitions)::integer END;
$$;

-- The remaining work of a rebuild, besides its checkpoint. Deleted when the generation is dropped.
CREATE TABLE read_model.rebuilds (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    phase        text        NOT NULL DEFAULT 'loading' CHECK (phase IN ('loading', 'catching_up',
        'compared', 'switched')),
    -- constraints of its tables to create after loading, as arguments of ALTER TABLE … ADD
    set_aside    text[]      NOT NULL DEFAULT '{}',
    pause_wanted boolean     NOT NULL DEFAULT false,
    -- the entry of read_model.operations that runs it; null for a command line
    operation    uuid,
    started_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation),
    FOREIGN KEY (projection, generation) REFERENCES read_model.generations ON DELETE CASCADE
);

RESET ROLE;
