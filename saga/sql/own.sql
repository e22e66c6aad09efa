-- Puts the term on the checkpoint, and moves it to where the fold of its owner's sagas continues.
-- No row if another owner was faster.
UPDATE saga.checkpoints
SET term = $2, epoch = $5, position = $6, event_id = $7, folds = $8, behind = $9
WHERE name = $1 AND term = $3 AND position = $4
