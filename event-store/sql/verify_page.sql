-- A page of the log as it stands, with what the tables beside it must say of each event.
SELECT
    e.position, e.version, e.event_id, e.recorded_at, e.schema_version, e.stream, e.event_type,
        e.data::text AS "data!", e.tags,
    e.metadata::text AS "metadata!", e.bytes AS "bytes!",
    e.version = 1 OR EXISTS (
        SELECT FROM event_store.events AS before
        WHERE before.stream = e.stream AND before.version = e.version - 1
            AND before.position < e.position
    ) AS "follows!",
    (
        SELECT count(*) FROM unnest(e.tags) AS own (tag)
        JOIN event_store.tags AS t ON t.tag = own.tag AND t.position = e.position
    ) = cardinality(e.tags) AS "tagged!"
FROM (
    SELECT one.*, sum(one.bytes) OVER (ORDER BY one.position ROWS UNBOUNDED PRECEDING) - one.bytes
        AS bytes_before
    FROM event_store.events AS one
    WHERE one.position > $1
    ORDER BY one.position
    LIMIT $2
) AS e
WHERE e.bytes_before < $3
ORDER BY e.position
