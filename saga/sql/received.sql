-- Deletes the signals that instances have received.
DELETE FROM saga.signals USING unnest($1::uuid[], $2::bigint[]) AS received (id, position)
WHERE signals.id = received.id AND signals.position <= received.position
