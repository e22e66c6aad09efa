-- The owner leaves, so that the next owner does not have to wait.
UPDATE webhooks.leases
SET owner = NULL, backend_pid = NULL, expires_at = '-infinity'
WHERE name = $1 AND owner = $2 AND term = $3
