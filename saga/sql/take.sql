-- Creates the checkpoint where the sagas begin. The rows of a fold that is gone say nothing of this
-- one, so they go, too.
WITH created AS (
    INSERT INTO saga.checkpoints (name, term, epoch, position, event_id, folds)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO NOTHING
    RETURNING name
), signals AS (
    DELETE FROM saga.signals WHERE EXISTS (SELECT FROM created)
)
DELETE FROM saga.work WHERE EXISTS (SELECT FROM created)
