-- Deletes the rows of instances that ended in this version, unless a signal waits for a driver.
DELETE FROM saga.work USING unnest($1::uuid[], $2::bigint[]) AS ended (id, version)
WHERE work.id = ended.id AND work.version <= ended.version
    AND NOT EXISTS (SELECT FROM saga.signals WHERE signals.id = work.id)
