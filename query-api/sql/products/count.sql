SELECT count(*) AS "count!"
FROM read_model.products
WHERE ($1::text IS NULL OR name = $1)
