SELECT
    e.position, e.version, e.event_id, e.recorded_at, e.schema_version, e.stream, e.event_type, e.data::text AS "data!", e.tags,
    e.metadata::text AS "metadata!"
FROM event_store.events AS e
WHERE e.stream = $1 AND e.version > $2
ORDER BY e.version
LIMIT $3
