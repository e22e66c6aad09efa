-- Instances that have not ended, those that have not moved for longest first.
SELECT id, saga, key, status, definition, waits_for, reason, due_at, moved_at, version, failures,
    driver IS NOT NULL AS "driven!"
FROM saga.work
WHERE ($1::text IS NULL OR saga = $1) AND ($2::text IS NULL OR status = $2)
    AND ($3::timestamptz IS NULL OR moved_at < $3)
    AND ($4::timestamptz IS NULL OR (moved_at, id) > ($4, $5::uuid))
ORDER BY moved_at, id
LIMIT $6
