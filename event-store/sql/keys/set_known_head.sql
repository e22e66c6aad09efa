-- Within one history it never goes back, whoever of several is late.
INSERT INTO subject_keys.known_head AS known (epoch, position, event_id) VALUES ($1, $2, $3)
ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch, position = excluded.position,
    event_id = excluded.event_id
WHERE known.epoch <> excluded.epoch OR known.position < excluded.position
