COPY (
    SELECT e.position, e.version, e.event_id, e.recorded_at, e.schema_version, e.stream,
        e.event_type, e.data, e.tags, e.metadata
    FROM event_store.tags AS t
    JOIN event_store.events AS e ON e.position = t.position
    WHERE t.tag = 'room:3'
    ORDER BY t.position
) TO STDOUT
