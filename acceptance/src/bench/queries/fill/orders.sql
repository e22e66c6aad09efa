-- $1 orders of $2 users in turn, one a second, each with two lines. The status changes every few
-- orders, so that each status has its share of every part of the list.
INSERT INTO orders_g1.orders (id, user_id, status, currency, total_minor, discount_minor, tax_minor,
    shipping_country, units, paid_minor, refunded_minor, lines, cancel_products, ordered_at,
    confirmed_at, created_at, updated_at, version, position)
SELECT ('019b0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    ('019a0000-0000-7000-8000-' || lpad(to_hex(n % $2::bigint), 12, '0'))::uuid,
    (ARRAY['pending', 'confirmed', 'paid', 'shipped'])[1 + (n * 7 / 3) % 4], 'USD', 5868, 200, 200,
    'US', 4, 2934, 0,
    jsonb_build_array(
        jsonb_build_object('line_id', '019c0000-0000-7000-8000-000000000001', 'product_id',
            '019d0000-0000-7000-8000-000000000001', 'product_name', 'compact disc', 'quantity', 2,
            'unit_price_minor', 1467),
        jsonb_build_object('line_id', '019c0000-0000-7000-8000-000000000002', 'product_id',
            '019d0000-0000-7000-8000-000000000002', 'product_name', 'long-playing record',
            'quantity', 2, 'unit_price_minor', 1467)),
    '[]', at, at, at, at, 2, 9
FROM generate_series(0, $1::bigint - 1) AS n
CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second') AS t (at)
