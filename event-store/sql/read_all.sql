SELECT
    page.position, page.version, page.event_id, page.recorded_at, page.schema_version, page.stream,
        page.event_type,
    page.data::text AS "data!", page.tags, page.metadata::text AS "metadata!", page.bytes
        AS "bytes!"
FROM (
    SELECT e.*, sum(e.bytes) OVER (ORDER BY e.position ROWS UNBOUNDED PRECEDING) - e.bytes AS before
    FROM event_store.events AS e
    WHERE e.position > $1
    ORDER BY e.position
    LIMIT $2
) AS page
WHERE page.before < $3
ORDER BY page.position
