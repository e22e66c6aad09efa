-- Each item of the query reads the stretch of its first tag, or of its types when it has no tag, at
-- most a page each; an event that matches two items counts once. $1, $2: the tags and types of each
-- item with tags, joined by blanks (no types: any). $3: the types of the items without tags.
SELECT
    page.position, page.version, page.event_id, page.recorded_at, page.schema_version, page.stream,
        page.event_type,
    page.data::text AS "data!", page.tags, page.metadata::text AS "metadata!", page.bytes
        AS "bytes!"
FROM (
    SELECT e.*, sum(e.bytes) OVER (ORDER BY e.position ROWS UNBOUNDED PRECEDING) - e.bytes AS before
    FROM event_store.events AS e
    WHERE e.position IN (
        SELECT found.position
        FROM unnest($1::text[], $2::text[]) AS item (tags, types)
        CROSS JOIN LATERAL (
            SELECT t.position
            FROM event_store.tags AS t
            JOIN event_store.events AS one ON one.position = t.position
            WHERE t.tag = split_part(item.tags, ' ', 1) AND t.position > $4
                AND one.tags @> string_to_array(item.tags, ' ')
                AND (item.types = '' OR one.event_type = ANY (string_to_array(item.types, ' ')))
            ORDER BY t.position
            LIMIT $5
        ) AS found
        UNION ALL
        (
            SELECT one.position
            FROM event_store.events AS one
            WHERE one.event_type = ANY ($3::text[]) AND one.position > $4
            ORDER BY one.position
            LIMIT $5
        )
    )
    ORDER BY e.position
    LIMIT $5
) AS page
WHERE page.before < $6
ORDER BY page.position
