-- How far each saga was folded. During a deployment, programs that know different sagas fold in
-- turns.
ALTER TABLE saga.checkpoints
    ADD COLUMN folds  text[] NOT NULL DEFAULT '{}', -- the sagas that its last owner knew
    -- how far each saga was folded that its last owner did not know: {"saga": position}
    ADD COLUMN behind jsonb  NOT NULL DEFAULT '{}';
