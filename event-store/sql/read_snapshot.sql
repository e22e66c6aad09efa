-- The snapshot of a stream, of this shape and epoch, if the log has its event where it was taken.
SELECT s.version, s.position, s.event_id, s.state::text AS "state!"
FROM event_store.snapshots AS s
JOIN event_store.events AS e
    ON e.position = s.position AND e.event_id = s.event_id AND e.stream = s.stream
        AND e.version = s.version
WHERE s.stream = $1 AND s.shape = $2 AND s.epoch = $3
