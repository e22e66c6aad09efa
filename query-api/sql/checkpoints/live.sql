-- Where each part of the live generation of these projections is.
SELECT c.projection, c.epoch, c.position, c.event_id
FROM read_model.checkpoints c
JOIN read_model.generations g ON g.projection = c.projection AND g.generation = c.generation
WHERE g.live AND c.projection = ANY($1)
