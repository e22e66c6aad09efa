-- Adds instances that are to begin. One that has begun already is left as it is. Returns those that
-- were added for a driver; one that waited for its begin is left to the drivers that look for work.
INSERT INTO saga.work AS work (id, saga, begun, due_at, driver, moved_at)
SELECT id, saga, begun, at, driver, at
FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::uuid[])
    AS news (id, saga, begun, at, driver)
ON CONFLICT (id) DO UPDATE
SET begun = excluded.begun, due_at = excluded.due_at, news = work.news + 1
WHERE work.begun IS NULL AND work.version = 0
RETURNING id, (xmax = 0 AND driver IS NOT NULL) AS "taken!"
