SELECT
    e.position, e.version, e.event_id, e.recorded_at, e.schema_version, e.stream, e.event_type, e.data::text AS "data!", e.tags,
    e.metadata::text AS "metadata!"
FROM event_store.events AS e
WHERE e.position > $2 AND e.position <= $3 AND e.event_type = ANY ($1::text[])
ORDER BY e.position
