SELECT
    page.position, page.version, page.event_id, page.recorded_at, page.schema_version, page.stream,
        page.event_type,
    page.data::text AS "data!", page.tags, page.metadata::text AS "metadata!", page.bytes
        AS "bytes!"
FROM (
    SELECT e.*, sum(e.bytes) OVER (ORDER BY e.version DESC ROWS UNBOUNDED PRECEDING) - e.bytes
        AS before
    FROM event_store.events AS e
    WHERE e.stream = $1 AND e.version < $2
    ORDER BY e.version DESC
    LIMIT $3
) AS page
WHERE page.before < $4
ORDER BY page.version DESC
