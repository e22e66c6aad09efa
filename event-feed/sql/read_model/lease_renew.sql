-- The owner holds on, perhaps on another connection than the one that does its work. One that
-- expired may be renewed as long as nobody took it: the term says so.
UPDATE read_model.leases
SET expires_at = clock_timestamp() + make_interval(secs => $4)
WHERE name = $1 AND owner = $2 AND term = $3
