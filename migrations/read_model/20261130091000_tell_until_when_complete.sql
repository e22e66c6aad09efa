-- How old the rows of a partition are.
SET LOCAL ROLE read_model_owner;

-- The rows show every event that was recorded until this time, at least. It is when the last event
-- was recorded, or when the log was last seen to have no further one, by the clocks of the two
-- databases. Null until either is known.
ALTER TABLE read_model.checkpoints ADD COLUMN complete_until timestamptz;

RESET ROLE;
