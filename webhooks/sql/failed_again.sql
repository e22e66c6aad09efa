-- Records the failures of repeated attempts. A delivery that a person skipped is gone.
UPDATE webhooks.deliveries AS delivery
SET attempts = failed.attempts, error = failed.error, status = failed.status,
    next_at = clock_timestamp() + make_interval(secs => failed.pause), last_at = clock_timestamp()
FROM unnest($2::bigint[], $3::integer[], $4::float8[], $5::text[], $6::integer[])
    AS failed (position, attempts, pause, error, status)
WHERE delivery.feed = $1 AND delivery.position = failed.position
