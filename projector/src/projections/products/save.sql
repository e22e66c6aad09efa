INSERT INTO products (id, name, currency, unit_price_minor, stock, created_at, updated_at, version,
    position)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
    $6::timestamptz[], $7::timestamptz[],
                     $8::bigint[], $9::bigint[])
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    currency = excluded.currency,
    unit_price_minor = excluded.unit_price_minor,
    stock = excluded.stock,
    updated_at = excluded.updated_at,
    version = excluded.version,
    position = excluded.position
