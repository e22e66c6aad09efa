SELECT id AS "id!", user_id AS "user_id!", status AS "status!", currency AS "currency!",
    total_minor AS "total_minor!", units AS "units!",
       lines AS "lines!: Json<Vec<LineRow>>", ordered_at, confirmed_at, cancelled_at, created_at
           AS "created_at!",
       updated_at AS "updated_at!", version AS "version!", position AS "position!"
FROM read_model.orders
WHERE ($1::uuid IS NULL OR user_id = $1) AND ($2::text IS NULL OR status = $2)
  AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
ORDER BY created_at DESC, id DESC
LIMIT $5 OFFSET $6
