-- The first position that breaks each item of a condition, and the head up to which was looked: run
-- before the lock is taken. The head is read first: what the look-ups see includes everything up to
-- it, in whatever order they run, since all is one snapshot.
SELECT
    head.position AS "head!",
    item.nth AS "nth!",
    (
        SELECT t.position
        FROM event_store.tags AS t
        JOIN event_store.events AS one ON one.position = t.position
        WHERE t.tag = split_part(item.tags, ' ', 1) AND t.position > item.after
            AND one.tags @> string_to_array(item.tags, ' ')
            AND (item.types = '' OR one.event_type = ANY (string_to_array(item.types, ' ')))
        ORDER BY t.position
        LIMIT 1
    ) AS "broken?"
FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS item (after, tags, types, nth)
CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM event_store.events) AS head
ORDER BY item.nth
