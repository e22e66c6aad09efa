SELECT id AS "id!", name AS "name!", currency AS "currency!", unit_price_minor
    AS "unit_price_minor!", stock AS "stock!",
       created_at AS "created_at!", updated_at AS "updated_at!", version AS "version!", position
           AS "position!"
FROM read_model.products
WHERE ($1::text IS NULL OR name = $1)
  AND ($2::text IS NULL OR (name, id) < ($2, $3::uuid))
ORDER BY name DESC, id DESC
LIMIT $4 OFFSET $5
