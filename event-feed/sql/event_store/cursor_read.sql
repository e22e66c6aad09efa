-- Where a target's cursor is; no row before the target began.
SELECT epoch, position, event_id FROM event_store.relay_cursors WHERE target = $1
