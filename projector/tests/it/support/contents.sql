SELECT jsonb_build_object(
    'users', (SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY id), '[]') FROM read_model.users AS t),
    'orders', (SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY id), '[]') FROM read_model.orders
        AS t),
    'products', (SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY id), '[]') FROM read_model.products
        AS t),
    'daily_sales', (SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY day, currency), '[]')
        FROM read_model.daily_sales AS t),
    'checkpoints', (SELECT jsonb_object_agg(projection, jsonb_build_array(epoch, position,
        event_id))
                    FROM read_model.checkpoints JOIN read_model.generations USING (projection,
                        generation) WHERE live))
