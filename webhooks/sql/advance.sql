-- Moves a feed. No row if another process moved it, or if a person ended or moved it.
UPDATE webhooks.feeds SET epoch = $4, position = $5, event_id = $6
WHERE id = $1 AND position = $2 AND event_id IS NOT DISTINCT FROM $3 AND ended IS NULL
