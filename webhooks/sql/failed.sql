-- Records the first failure of events that the feed has passed.
INSERT INTO webhooks.deliveries
    (feed, position, event_id, type, attempts, next_at, error, status)
SELECT $1, failed.position, failed.event_id, failed.type, failed.attempts,
    clock_timestamp() + make_interval(secs => failed.pause), failed.error, failed.status
FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::integer[], $6::float8[], $7::text[],
        $8::integer[])
    AS failed (position, event_id, type, attempts, pause, error, status)
ON CONFLICT (feed, position) DO UPDATE
SET event_id = excluded.event_id, type = excluded.type, attempts = excluded.attempts,
    next_at = excluded.next_at, error = excluded.error, status = excluded.status,
    last_at = clock_timestamp()
