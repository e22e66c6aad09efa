-- Takes the lease if it is free or the owner's own. The row's lock decides between two that try at
-- the same time.
UPDATE event_store.leases
SET owner = $2, term = term + 1, backend_pid = pg_backend_pid(),
    expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE name = $1 AND (expires_at <= clock_timestamp() OR owner = $2)
RETURNING term
