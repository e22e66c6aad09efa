-- A key that was destroyed or wrapped anew meanwhile is left alone.
UPDATE subject_keys.keys AS k
SET master = new.master, wrapped = new.wrapped
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[]) AS new (subject, old, master, wrapped)
WHERE k.subject = new.subject AND k.wrapped = new.old
