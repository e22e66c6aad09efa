SELECT
    page.position, page.version, page.event_id, page.recorded_at, page.schema_version, page.stream,
        page.event_type,
    page.data::text AS "data!", page.tags, page.metadata::text AS "metadata!", page.bytes
        AS "bytes!"
FROM (
    SELECT e.*, sum(e.bytes) OVER (ORDER BY e.position ROWS UNBOUNDED PRECEDING) - e.bytes AS before
    FROM event_store.events AS e
    WHERE e.event_type = ANY ($1::text[]) AND e.position > $2
    ORDER BY e.position
    LIMIT $3
) AS page
WHERE page.before < $4
ORDER BY page.position
