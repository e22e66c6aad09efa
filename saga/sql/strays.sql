-- The instances that a driver owns and does not know.
SELECT id FROM saga.work WHERE driver = $1 AND id <> ALL ($2) LIMIT $3
