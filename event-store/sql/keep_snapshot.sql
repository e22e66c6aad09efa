-- Never back within a shape and an epoch; in place of one of the same version, which may not open
-- any more.
INSERT INTO event_store.snapshots AS kept (stream, shape, epoch, version, position, event_id, state)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::json)
ON CONFLICT (stream) DO UPDATE
SET shape = excluded.shape, epoch = excluded.epoch, version = excluded.version,
    position = excluded.position,
    event_id = excluded.event_id, state = excluded.state, taken_at = now()
WHERE (kept.shape, kept.epoch) <> (excluded.shape, excluded.epoch)
    OR kept.version <= excluded.version
