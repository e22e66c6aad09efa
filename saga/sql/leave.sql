-- A driver ends: its instances are free at once.
WITH gone AS (DELETE FROM saga.drivers WHERE id = $1)
UPDATE saga.work
SET driver = NULL, due_at = coalesce(least(due_at, clock_timestamp()), clock_timestamp())
WHERE driver = $1
