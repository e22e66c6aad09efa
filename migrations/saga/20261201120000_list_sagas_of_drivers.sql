-- The sagas that a process knows. An instance of a saga that no living process knows is parked.
ALTER TABLE saga.drivers ADD COLUMN sagas text[] NOT NULL DEFAULT '{}';
