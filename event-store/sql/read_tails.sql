-- The ends of several streams, each after a version. A stream with more than $3 events there, or
-- more than $4 bytes, is not read: it returns a row without data. If the server lacks the event at
-- position $5, a row with the number 0 says so.
SELECT
    asked.nth AS "nth!", tail.position AS "position!", tail.version AS "version!",
        tail.event_id AS "event_id!", tail.recorded_at AS "recorded_at!",
        tail.schema_version AS "schema_version!", tail.stream AS "stream!",
        tail.event_type AS "event_type!",
    CASE WHEN tail.fits THEN tail.data::text END AS "data?", tail.tags AS "tags!",
        CASE WHEN tail.fits THEN tail.metadata::text END AS "metadata?", tail.bytes AS "bytes!"
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS asked (stream, after, nth)
CROSS JOIN LATERAL (
    SELECT e.*,
        row_number() OVER upwards <= $3
            AND sum(e.bytes) OVER (upwards ROWS UNBOUNDED PRECEDING) <= $4 AS fits
    FROM event_store.events AS e
    WHERE e.stream = asked.stream AND e.version > asked.after
    WINDOW upwards AS (ORDER BY e.version)
    ORDER BY e.version
    LIMIT $3 + 1
) AS tail
UNION ALL
SELECT 0, $5::bigint, 0, '00000000-0000-0000-0000-000000000000'::uuid, now(), 0, '', '', NULL,
    '{}'::text[], NULL, 0
WHERE $5::bigint > 0
    AND NOT EXISTS (SELECT FROM event_store.events AS e WHERE e.position = $5::bigint)
