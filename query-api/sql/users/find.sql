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
              WHERE g.live AND c.projection = 'users') AS at)
                  AS "checkpoints!: Json<Vec<Checkpoint>>",
       u.id AS "id?", u.email AS "email?", u.name AS "name?", u.status AS "status?", u.order_count
           AS "order_count?",
       u.total_spent AS "total_spent?: Json<SumsMinor>", u.last_order_at AS "last_order_at?",
           u.created_at AS "created_at?",
       u.updated_at AS "updated_at?", u.version AS "version?", u.position AS "position?"
FROM (SELECT) AS always
LEFT JOIN read_model.users u ON u.id = $1
