EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT JSON)
SELECT position, version, event_id, recorded_at, schema_version, stream, event_type, data, tags,
    metadata
FROM event_store.events
WHERE stream = $1 AND version > 0
ORDER BY version
LIMIT 200
