SELECT count(*) AS "count!"
FROM read_model.orders
WHERE ($1::uuid IS NULL OR user_id = $1) AND ($2::text IS NULL OR status = $2)
