INSERT INTO orders (id, user_id, status, currency, total_minor, units, lines, ordered_at,
    confirmed_at, cancelled_at,
                    created_at, updated_at, version, position)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::jsonb[],
                     $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
                         $12::timestamptz[],
                     $13::bigint[], $14::bigint[])
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status,
    currency = excluded.currency,
    total_minor = excluded.total_minor,
    units = excluded.units,
    lines = excluded.lines,
    ordered_at = excluded.ordered_at,
    confirmed_at = excluded.confirmed_at,
    cancelled_at = excluded.cancelled_at,
    updated_at = excluded.updated_at,
    version = excluded.version,
    position = excluded.position
