COPY (
    SELECT position, version, event_id, recorded_at, schema_version, stream, event_type, data,
        tags, metadata
    FROM event_store.events
    WHERE position > 0
    ORDER BY position
) TO STDOUT
