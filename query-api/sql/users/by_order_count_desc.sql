SELECT id AS "id!", email, name, status AS "status!", order_count AS "order_count!", total_spent
    AS "total_spent!: Json<SumsMinor>",
       last_order_at, created_at AS "created_at!", updated_at AS "updated_at!", version
           AS "version!", position AS "position!"
FROM read_model.users
WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR lower(email COLLATE "C") = $2)
  AND ($3::bigint IS NULL OR (order_count, id) < ($3, $4::uuid))
ORDER BY order_count DESC, id DESC
LIMIT $5 OFFSET $6
