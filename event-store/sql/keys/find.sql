SELECT k.subject AS "subject?", k.master AS "master?", k.wrapped AS "wrapped?"
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (subject, nth)
LEFT JOIN subject_keys.keys AS k ON k.subject = wanted.subject
ORDER BY wanted.nth
