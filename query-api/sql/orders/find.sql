-- One statement and one snapshot: the row, and where each partition of its projection is. A row of
-- the answer comes in any case.
SELECT (SELECT coalesce(json_agg(at), '[]')
        FROM (SELECT c.projection, c.generation, c.partition, g.partitions, c.epoch, c.position,
            c.event_id,
                     EXISTS (SELECT FROM read_model.stale s WHERE s.projection = c.projection
                         AND s.generation = c.generation) AS stale
              FROM read_model.checkpoints c
              JOIN read_model.generations g ON g.projection = c.projection
                  AND g.generation = c.generation
              WHERE g.live AND c.projection = 'orders') AS at)
                  AS "checkpoints!: Json<Vec<Checkpoint>>",
       o.id AS "id?", o.user_id AS "user_id?", o.status AS "status?", o.currency AS "currency?",
           o.total_minor AS "total_minor?",
       o.units AS "units?", o.lines AS "lines?: Json<Vec<LineRow>>", o.ordered_at AS "ordered_at?",
           o.confirmed_at AS "confirmed_at?",
       o.cancelled_at AS "cancelled_at?", o.created_at AS "created_at?", o.updated_at
           AS "updated_at?", o.version AS "version?",
       o.position AS "position?"
FROM (SELECT) AS always
LEFT JOIN read_model.orders o ON o.id = $1
