-- A page of a stream, after a version. If the server lacks the event at position $5, a row at
-- position 0 says so.
SELECT
    page.position AS "position!", page.version AS "version!", page.event_id AS "event_id!",
        page.recorded_at AS "recorded_at!", page.schema_version AS "schema_version!",
        page.stream AS "stream!", page.event_type AS "event_type!",
    page.data::text AS "data!", page.tags AS "tags!", page.metadata::text AS "metadata!",
        page.bytes AS "bytes!"
FROM (
    SELECT e.*, sum(e.bytes) OVER (ORDER BY e.version ROWS UNBOUNDED PRECEDING) - e.bytes AS before
    FROM event_store.events AS e
    WHERE e.stream = $1 AND e.version > $2
    ORDER BY e.version
    LIMIT $3
) AS page
WHERE page.before < $4
UNION ALL
SELECT 0, 0, '00000000-0000-0000-0000-000000000000'::uuid, now(), 0, '', '', '', '{}'::text[], '', 0
WHERE $5::bigint > 0
    AND NOT EXISTS (SELECT FROM event_store.events AS e WHERE e.position = $5::bigint)
ORDER BY 2
