-- Moves a target's cursor in the term of the lease: a leader that lost the lease moves nothing. The
-- lease's row is locked meanwhile, so whoever takes it next reads what was moved before. A lease
-- that ran out and that nobody took is still the term's, as for a renewal.
INSERT INTO event_store.relay_cursors (target, epoch, position, event_id, term)
SELECT $1, $2::uuid, $3::bigint, $4::uuid, lease.term
FROM event_store.leases AS lease
WHERE lease.name = $5 AND lease.owner = $6 AND lease.term = $7
FOR SHARE
ON CONFLICT (target) DO UPDATE
SET epoch = excluded.epoch, position = excluded.position, event_id = excluded.event_id,
    term = excluded.term, moved_at = excluded.moved_at
