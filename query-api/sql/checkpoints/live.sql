-- Where each partition of every live generation is, and whether any row of it lacks events. Without
-- parameters, so that it is planned once.
SELECT c.projection, c.generation, c.partition, g.partitions, c.epoch, c.position, c.event_id,
       EXISTS (SELECT FROM read_model.stale s WHERE s.projection = c.projection
           AND s.generation = c.generation) AS "stale!",
       EXTRACT(EPOCH FROM now() - c.complete_until)::float8 AS lag
FROM read_model.checkpoints c
JOIN read_model.generations g ON g.projection = c.projection AND g.generation = c.generation
WHERE g.live
