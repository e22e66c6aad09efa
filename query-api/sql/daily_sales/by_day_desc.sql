SELECT day AS "day!", currency AS "currency!", orders AS "orders!", units AS "units!",
    revenue_minor AS "revenue_minor!"
FROM read_model.daily_sales
WHERE ($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2) AND ($3::text IS NULL
    OR currency = $3)
  AND ($4::date IS NULL OR (day, currency) < ($4, $5::text))
ORDER BY day DESC, currency DESC
LIMIT $6 OFFSET $7
