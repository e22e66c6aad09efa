INSERT INTO event_store.events (position, version, event_id, recorded_at, schema_version, stream,
    event_type, data, tags, metadata)
SELECT u.position, u.version, u.event_id,
    '2026-01-01 00:00:00+00'::timestamptz + u.position * interval '1 millisecond', 1,
       u.stream, u.event_type, u.data::json, string_to_array(u.tags, ' '), u.metadata::json
FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[])
    AS u (position, version, event_id, stream, event_type, data, tags, metadata)
