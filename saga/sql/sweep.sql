-- Frees the instances of drivers that are gone. Their connections have names that end with their
-- ids. Rows that somebody else has locked are left to the next sweep.
WITH gone AS (
    SELECT id FROM saga.drivers AS driver
    WHERE expires_at <= clock_timestamp() OR NOT EXISTS (
        SELECT FROM pg_stat_activity AS activity
        WHERE activity.pid = driver.backend_pid
            AND activity.application_name LIKE '%' || driver.id)
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM saga.drivers USING gone WHERE drivers.id = gone.id
), freed AS (
    SELECT id FROM saga.work
    WHERE driver IS NOT NULL AND driver NOT IN (
        SELECT id FROM saga.drivers WHERE id NOT IN (SELECT id FROM gone))
    FOR UPDATE SKIP LOCKED
)
UPDATE saga.work
SET driver = NULL, due_at = coalesce(least(due_at, clock_timestamp()), clock_timestamp())
FROM freed WHERE work.id = freed.id
