-- Whether the table of idempotency keys says of each append what the log does. $5: the streams that
-- it named, joined by blanks.
SELECT
    told.position AS "position!",
    coalesce(
        k.request_hash = told.request_hash AND k.position = told.position
            AND k.event_count = told.events
        AND k.append_id = (SELECT e.event_id FROM event_store.events AS e
            WHERE e.position = told.position - told.events + 1)
        AND k.epoch = (SELECT p.epoch FROM event_store.epochs AS p
            WHERE p.began_after < told.position ORDER BY p.epoch DESC LIMIT 1)
        AND k.streams = string_to_array(told.streams, ' ')
        AND k.versions = ARRAY(
            SELECT coalesce(
                (SELECT e.version FROM event_store.events AS e WHERE e.stream = s.stream
                    AND e.position <= told.position ORDER BY e.version DESC LIMIT 1),
                0)
            FROM unnest(string_to_array(told.streams, ' ')) WITH ORDINALITY AS s (stream, nth)
                ORDER BY s.nth)
        AND k.answer::text = told.answer,
        false
    ) AS "same!"
FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::integer[], $5::text[], $6::text[])
    AS told (key, request_hash, position, events, streams, answer)
LEFT JOIN event_store.idempotency AS k ON k.key = told.key
