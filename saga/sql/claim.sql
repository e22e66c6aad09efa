-- Takes instances that are due, those that wait longest first. Those of a saga that no process
-- knows are taken, too, once they are overdue for so long: somebody has to notice them.
WITH due AS (
    SELECT id FROM saga.work
    WHERE driver IS NULL AND due_at <= $2
        AND (saga = ANY ($3) OR (
            due_at <= $2 - make_interval(secs => $5)
            AND NOT EXISTS (SELECT FROM saga.drivers WHERE work.saga = ANY (drivers.sagas))
        ))
    ORDER BY due_at
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE saga.work SET driver = $1 FROM due WHERE work.id = due.id
RETURNING work.id, saga, begun, news, failures
