-- Frees instances that their driver does not know.
UPDATE saga.work SET driver = NULL, due_at = coalesce(least(due_at, $3), $3)
WHERE driver = $1 AND id = ANY ($2)
