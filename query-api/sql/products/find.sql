SELECT id AS "id!", name AS "name!", currency AS "currency!", unit_price_minor AS "unit_price_minor!", stock AS "stock!",
       created_at AS "created_at!", updated_at AS "updated_at!", version AS "version!", position AS "position!"
FROM read_model.products
WHERE id = $1
