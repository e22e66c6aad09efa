INSERT INTO reference.events (position, version, event_id, recorded_at, schema_version, stream,
    event_type, data, tags, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9, $10::text::json)
