-- Frees the instances of drivers that are gone. Their connections have names that end with their
-- ids.
WITH gone AS (
    DELETE FROM saga.drivers AS driver
    WHERE expires_at <= clock_timestamp() OR NOT EXISTS (
        SELECT FROM pg_stat_activity AS activity
        WHERE activity.pid = driver.backend_pid
            AND activity.application_name LIKE '%' || driver.id)
    RETURNING id
), alive AS (
    SELECT id FROM saga.drivers WHERE id NOT IN (SELECT id FROM gone)
)
UPDATE saga.work SET driver = NULL, due_at = coalesce(least(due_at, $1), $1)
WHERE driver IS NOT NULL AND driver NOT IN (SELECT id FROM alive)
