INSERT INTO users (id, email, name, status, order_count, total_spent, last_order_at, created_at,
    updated_at, version, position)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::jsonb[],
    $7::timestamptz[],
                     $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::bigint[])
ON CONFLICT (id) DO UPDATE SET
    email = excluded.email,
    name = excluded.name,
    status = excluded.status,
    order_count = excluded.order_count,
    total_spent = excluded.total_spent,
    last_order_at = excluded.last_order_at,
    updated_at = excluded.updated_at,
    version = excluded.version,
    position = excluded.position
