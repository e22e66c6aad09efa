-- Puts the term on the checkpoint, and creates it where the sagas begin. No row if it has a later
-- term.
INSERT INTO saga.checkpoints AS checkpoint (name, term, epoch, position, event_id)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET term = $2 WHERE checkpoint.term <= $2
RETURNING epoch, position, event_id
