-- Each type reads its own stretch of the index, at most a page; the page is then the first of them all.
SELECT
    e.position, e.version, e.event_id, e.recorded_at, e.schema_version, e.stream, e.event_type, e.data::text AS "data!", e.tags,
    e.metadata::text AS "metadata!"
FROM (SELECT DISTINCT unnest($1::text[]) AS event_type) AS wanted
CROSS JOIN LATERAL (
    SELECT * FROM event_store.events AS one
    WHERE one.event_type = wanted.event_type AND one.position > $2
    ORDER BY one.position
    LIMIT $3
) AS e
ORDER BY e.position
LIMIT $3
