-- Deletes the rows of instances that never began, or had ended before a driver looked.
WITH done AS (
    SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS done (id, version, heard, news)
), heard AS (
    DELETE FROM saga.signals USING done
    WHERE signals.id = done.id AND signals.position <= done.heard
)
DELETE FROM saga.work USING done
WHERE work.id = done.id AND work.driver = $1 AND work.version <= done.version
    AND work.news <= done.news
