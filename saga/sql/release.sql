-- Gives instances back with what their drivers know. If the row has news of one, it is due at once.
WITH done AS (
    SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::integer[], $6::text[],
        $7::text[], $8::text[], $9::timestamptz[], $10::bigint[], $11::boolean[],
        $12::integer[], $13::bigint[])
        AS done (id, version, status, definition, key, waits_for, reason, due_at, heard, moved,
            failures, news)
), heard AS (
    DELETE FROM saga.signals USING done
    WHERE signals.id = done.id AND signals.position <= done.heard
)
UPDATE saga.work
SET driver = NULL, version = greatest(work.version, done.version), status = done.status,
    -- a driver that could not load the instance knows nothing else of it
    definition = CASE WHEN done.version = 0 THEN work.definition ELSE done.definition END,
    key = CASE WHEN done.version = 0 THEN work.key ELSE done.key END,
    waits_for = CASE WHEN done.version = 0 THEN work.waits_for ELSE done.waits_for END,
    begun = CASE WHEN done.version = 0 THEN work.begun END,
    reason = done.reason, failures = done.failures,
    moved_at = CASE WHEN done.moved THEN $14 ELSE work.moved_at END,
    due_at = CASE
        WHEN work.news > done.news OR (done.version > 0 AND work.version > done.version) THEN $14
        ELSE done.due_at
    END
FROM done WHERE work.id = done.id AND work.driver = $1
