SELECT c.projection, c.generation, c.part, c.fold_version, c.mode, c.stopped_by, c.epoch, c.position, c.event_id, c.head,
       c.updated_at,
       (SELECT count(*) FROM read_model.parked AS p
        WHERE (p.projection, p.generation, p.part) = (c.projection, c.generation, c.part)) AS "parked!",
       EXISTS (SELECT FROM read_model.leases AS l
               JOIN pg_stat_activity AS a ON a.pid = l.backend_pid AND a.application_name = 'projector ' || l.owner
               WHERE l.name = read_model.generation_schema(c.projection, c.generation) || '/' || c.part
                 AND l.expires_at >= clock_timestamp()) AS "running!"
FROM read_model.checkpoints AS c
JOIN read_model.generations AS g USING (projection, generation)
WHERE g.live
ORDER BY c.projection, c.part
