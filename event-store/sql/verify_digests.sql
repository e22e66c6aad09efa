SELECT s.first_position, s.last_position, s.previous, s.digest, s.event_digests
FROM event_store.digests AS s
WHERE s.last_position > $1
ORDER BY s.last_position
LIMIT $2
