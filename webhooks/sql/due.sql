-- The deliveries whose next attempt is due, the one that waits for longest first.
SELECT position, event_id, attempts
FROM webhooks.deliveries
WHERE feed = $1 AND next_at <= clock_timestamp()
ORDER BY next_at, position
LIMIT $2
