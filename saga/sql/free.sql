-- Frees instances that their driver does not know.
UPDATE saga.work
SET driver = NULL, due_at = coalesce(least(due_at, clock_timestamp()), clock_timestamp())
WHERE driver = $1 AND id = ANY ($2)
