SELECT EXISTS (SELECT FROM event_store.idempotency AS k WHERE k.key = $1) AS "there!"
