-- $1 users, one a minute.
INSERT INTO users_g1.users (id, email, name, status, customer_type, newsletter, addresses,
    order_count, total_spent, total_paid, total_refunded, total_paid_back, returns, last_order_at,
    created_at, updated_at, version, position)
SELECT ('019a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'user-' || n || '@example.com', 'Ada Lovelace', 'active', 'consumer', false, '[]', 10,
    '{"USD": 87150}', '{"USD": 80000}', '{"USD": 1467}', '{"USD": 1467}', '{}', at, at, at, 3, 17
FROM generate_series(0, $1::bigint - 1) AS n
CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01 00:00:00Z' + n * interval '1 minute') AS t (at)
