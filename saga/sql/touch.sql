-- Records what the log says about instances. A driver that was at least as far has written a row
-- that says more. A row that is missing is added if its begin
-- or a signal that moved it is part of the batch.
WITH news AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[])
        AS news (id, saga, version, at)
), known AS (
    UPDATE saga.work SET version = news.version, due_at = news.at, moved_at = news.at
    FROM news WHERE work.id = news.id AND work.version < news.version
)
INSERT INTO saga.work (id, saga, version, due_at, moved_at)
SELECT id, saga, version, at, at FROM news WHERE saga IS NOT NULL
ON CONFLICT (id) DO NOTHING
