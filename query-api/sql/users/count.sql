SELECT count(*) AS "count!"
FROM read_model.users
WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR lower(email COLLATE "C") = $2)
