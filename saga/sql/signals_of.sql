-- The signals that wait for these instances, in their order. At most so many for each.
SELECT signals.id, signals.position, signals.signal
FROM unnest($1::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM saga.signals WHERE signals.id = wanted.id ORDER BY position LIMIT $2
) AS signals
ORDER BY signals.id, signals.position
