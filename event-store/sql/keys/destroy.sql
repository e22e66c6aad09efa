-- One statement, so all or nothing. A first request's entry is touched, not changed, so that it is
-- returned.
WITH destroyed AS (
    INSERT INTO subject_keys.keys (subject) VALUES ($1)
    ON CONFLICT (subject) DO UPDATE SET master = NULL, wrapped = NULL
)
INSERT INTO subject_keys.erasures AS e (subject, requested_by) VALUES ($1, $2)
ON CONFLICT (subject) DO UPDATE SET requested_by = e.requested_by
RETURNING subject, requested_by, requested_at, position, event_id, reservations_released
