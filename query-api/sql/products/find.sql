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
              WHERE g.live AND c.projection = 'products') AS at)
                  AS "checkpoints!: Json<Vec<Checkpoint>>",
       p.id AS "id?", p.name AS "name?", p.currency AS "currency?", p.unit_price_minor
           AS "unit_price_minor?", p.stock AS "stock?",
       p.created_at AS "created_at?", p.updated_at AS "updated_at?", p.version AS "version?",
           p.position AS "position?"
FROM (SELECT) AS always
LEFT JOIN read_model.products p ON p.id = $1
