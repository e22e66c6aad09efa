-- Keeps signals for instances, and has a driver look at these.
WITH news AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::jsonb[], $5::timestamptz[])
        AS news (id, saga, position, signal, at)
), kept AS (
    INSERT INTO saga.signals (id, position, signal) SELECT id, position, signal FROM news
    ON CONFLICT (id, position) DO NOTHING
)
INSERT INTO saga.work AS work (id, saga, due_at, moved_at)
SELECT DISTINCT ON (id) id, saga, at, at FROM news ORDER BY id, at
ON CONFLICT (id) DO UPDATE
SET due_at = coalesce(least(work.due_at, excluded.due_at), excluded.due_at), news = work.news + 1
