-- Extends the lease. An expired one can be renewed as long as nobody has taken it: its term is
-- still the same then.
UPDATE event_store.leases
SET backend_pid = pg_backend_pid(), expires_at = clock_timestamp() + make_interval(secs => $4)
WHERE name = $1 AND owner = $2 AND term = $3
