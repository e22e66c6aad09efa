-- How far each part of each generation of each projection is, and who may move it.
SET LOCAL ROLE read_model_owner;

CREATE TABLE read_model.checkpoints (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    part         integer     NOT NULL,
    fold_version integer     NOT NULL,      -- the version of the code that folds; another one is another generation
    epoch        uuid,                      -- the history that position belongs to; null before the first event
    position     bigint      NOT NULL DEFAULT 0,
    event_id     uuid,                      -- the id of the event at position: proves continuity; null at 0
    term         bigint      NOT NULL DEFAULT 0, -- of the lease whose owner moved it last; a lower one can never move it again
    mode         text        NOT NULL DEFAULT 'starting', -- starting | live | polling | catching_up | stopped
    stopped_by   text,                      -- why it is stopped, in words for people; null unless it is
    head         bigint      NOT NULL DEFAULT 0, -- the store's head when last compared
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation, part),
    CHECK ((position = 0) = (event_id IS NULL))
) WITH (fillfactor = 20);                   -- updated per batch: room for HOT updates

-- Which generation the views in read_model show.
CREATE TABLE read_model.generations (
    projection   text        NOT NULL,
    generation   integer     NOT NULL,
    fold_version integer     NOT NULL,
    live         boolean     NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation)
);
CREATE UNIQUE INDEX generations_one_live ON read_model.generations (projection) WHERE live;

RESET ROLE;
