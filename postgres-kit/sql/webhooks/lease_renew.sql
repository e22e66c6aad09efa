-- Extends the lease, perhaps on another connection than the one that does the work. An expired one
-- can be renewed as long as nobody has taken it: its term is still the same then.
UPDATE webhooks.leases
SET expires_at = clock_timestamp() + make_interval(secs => $4)
WHERE name = $1 AND owner = $2 AND term = $3
