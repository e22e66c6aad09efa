SELECT c.projection, c.generation, c.partition, g.partitions, c.fold_version, c.mode, c.stopped_by,
    c.epoch, c.position, c.event_id, c.head,
       c.updated_at,
       (SELECT count(*) FROM read_model.parked AS p
        WHERE (p.projection, p.generation, p.partition) = (c.projection, c.generation,
            c.partition)) AS "parked!",
       a.pid IS NOT NULL AND l.expires_at >= clock_timestamp() AS "running!",
       p.paused_by AS "paused_by?", p.reason AS "pause_reason?", p.since AS "paused_since?",
       -- A lease is taken and renewed for so many seconds.
       CASE WHEN a.pid IS NOT NULL
            THEN GREATEST(0, extract(epoch
                FROM clock_timestamp() - l.expires_at)::float8 + $1::float8) END
                    AS heartbeat_seconds
FROM read_model.checkpoints AS c
JOIN read_model.generations AS g USING (projection, generation)
LEFT JOIN read_model.leases AS l ON l.name = read_model.generation_schema(c.projection,
    c.generation) || '/' || c.partition
LEFT JOIN pg_stat_activity AS a ON a.pid = l.backend_pid
    AND a.application_name = 'projector ' || l.owner
LEFT JOIN read_model.pauses AS p ON p.projection = c.projection
WHERE g.live
ORDER BY c.projection, c.partition
