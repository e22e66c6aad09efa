-- Takes instances that are due, those that wait longest first.
WITH due AS (
    SELECT id FROM saga.work
    WHERE driver IS NULL AND due_at <= $2 AND saga = ANY ($3)
    ORDER BY due_at
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE saga.work SET driver = $1 FROM due WHERE work.id = due.id
RETURNING work.id, saga, begun, news, failures
