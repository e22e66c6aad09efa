-- Every type and version that the log holds, by leaps over the indexes: from each type to the next
-- one, and the same over the versions above 1, which have an index of their own. Whether a type has
-- a version 1 is told by its first events.
WITH RECURSIVE types AS (
    (SELECT e.event_type FROM event_store.events AS e ORDER BY e.event_type LIMIT 1)
    UNION ALL
    SELECT next.event_type
    FROM types
    CROSS JOIN LATERAL (
        SELECT e.event_type FROM event_store.events AS e WHERE e.event_type > types.event_type
            ORDER BY e.event_type LIMIT 1
    ) AS next
), later AS (
    (
        SELECT e.event_type, e.schema_version
        FROM event_store.events AS e WHERE e.schema_version > 1
        ORDER BY e.event_type, e.schema_version LIMIT 1
    )
    UNION ALL
    SELECT next.event_type, next.schema_version
    FROM later
    CROSS JOIN LATERAL (
        SELECT e.event_type, e.schema_version
        FROM event_store.events AS e
        WHERE e.schema_version > 1 AND (e.event_type, e.schema_version) > (later.event_type,
            later.schema_version)
        ORDER BY e.event_type, e.schema_version LIMIT 1
    ) AS next
), written AS (
    SELECT types.event_type, 1 AS schema_version
    FROM types
    CROSS JOIN LATERAL (
        SELECT e.position FROM event_store.events AS e
        WHERE e.event_type = types.event_type AND e.schema_version = 1
        ORDER BY e.position LIMIT 1
    ) AS first
    UNION ALL
    SELECT later.event_type, later.schema_version FROM later
)
SELECT written.event_type AS "event_type!", written.schema_version AS "schema_version!"
FROM written
ORDER BY written.event_type, written.schema_version
