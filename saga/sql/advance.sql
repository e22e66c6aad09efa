-- Moves the checkpoint, unless another owner has taken over.
UPDATE saga.checkpoints SET epoch = $5, position = $6, event_id = $7
WHERE name = $1 AND term = $2 AND position = $3 AND event_id IS NOT DISTINCT FROM $4
