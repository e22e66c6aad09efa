SELECT id AS "id!", user_id AS "user_id!", status AS "status!", currency AS "currency!", total_minor AS "total_minor!", units AS "units!",
       lines AS "lines!: Json<Vec<LineRow>>", ordered_at, confirmed_at, cancelled_at, created_at AS "created_at!",
       updated_at AS "updated_at!", version AS "version!", position AS "position!"
FROM read_model.orders
WHERE id = $1
