SELECT id AS "id!", email, name, status AS "status!", order_count AS "order_count!", total_spent AS "total_spent!: Json<SumsMinor>",
       last_order_at, created_at AS "created_at!", updated_at AS "updated_at!", version AS "version!", position AS "position!"
FROM read_model.users
WHERE id = $1
