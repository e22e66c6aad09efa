-- Takes the lease if it is free, the owner's own, or if the connection of its owner is gone. The
-- row's lock decides between two that try at the same time.
UPDATE webhooks.leases AS lease
SET owner = $2, term = term + 1, backend_pid = pg_backend_pid(),
    expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE name = $1
  AND (expires_at <= clock_timestamp() OR owner = $2
       OR NOT EXISTS (SELECT FROM pg_stat_activity AS activity
                      WHERE activity.pid = lease.backend_pid
                          AND activity.application_name LIKE '%' || lease.owner))
RETURNING term
