SELECT
    (SELECT count(*) FROM event_store.tags) AS "tags!",
    (SELECT count(*) FROM event_store.idempotency AS k WHERE k.event_count > 0) AS "keys!",
    (SELECT count(*) FROM event_store.idempotency AS k WHERE k.event_count = 0)
        AS "keys_without_events!",
    (SELECT count(*) FROM event_store.reservations) AS "reservations!"
