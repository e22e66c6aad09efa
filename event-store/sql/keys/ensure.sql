INSERT INTO subject_keys.keys (subject, master, wrapped)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])
ON CONFLICT (subject) DO NOTHING
RETURNING subject
