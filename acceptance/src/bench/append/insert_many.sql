WITH added AS (
    INSERT INTO reference.events (position, version, event_id, recorded_at, schema_version, stream,
        event_type, data, tags, metadata)
    SELECT u.position, u.version, u.event_id, $4, u.schema_version, u.stream, u.event_type,
        u.data::json, ARRAY[u.tag], u.metadata::json
    FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $5::integer[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[])
        AS u (position, version, event_id, schema_version, stream, event_type, data, tag, metadata)
    RETURNING tags, position
)
INSERT INTO reference.tags (tag, position) SELECT unnest(tags), position FROM added
