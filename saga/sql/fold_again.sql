-- Deletes the checkpoint, and takes the lease from its owner, which so notices. The next owner
-- creates the checkpoint again where the sagas begin.
WITH gone AS (DELETE FROM saga.checkpoints WHERE name = $1)
UPDATE saga.leases SET owner = NULL, backend_pid = NULL, expires_at = '-infinity' WHERE name = $1
