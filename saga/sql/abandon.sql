-- Deletes the checkpoint of a history that was abandoned. The next statement creates it again where
-- the sagas begin.
DELETE FROM saga.checkpoints WHERE name = $1 AND term = $2 AND position = $3
