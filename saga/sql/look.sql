-- How far the log was folded, and for which sagas.
SELECT term, epoch, position, event_id, folds, behind FROM saga.checkpoints WHERE name = $1
