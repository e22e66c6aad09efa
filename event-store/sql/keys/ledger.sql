SELECT subject, requested_by, requested_at, position, event_id, reservations_released
FROM subject_keys.erasures
WHERE subject > $1
ORDER BY subject
LIMIT $2
