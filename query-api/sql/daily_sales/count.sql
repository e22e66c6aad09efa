SELECT count(*) AS "count!"
FROM read_model.daily_sales
WHERE ($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2) AND ($3::text IS NULL
    OR currency = $3)
