SELECT
    k.request_hash,
    k.epoch,
    k.position,
    (SELECT e.event_id FROM event_store.events AS e WHERE e.position = k.position) AS "event_id?",
    k.event_count,
    k.streams,
    k.versions,
    k.answer::text AS "answer!"
FROM event_store.idempotency AS k
WHERE k.key = $1
