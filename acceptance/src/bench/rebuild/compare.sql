SELECT count(*), count(*) FILTER (WHERE r.id IS NULL OR o.id IS NULL OR
    (r.user_id, r.status, r.currency, r.total_minor, r.units, r.lines, r.ordered_at,
        r.confirmed_at, r.cancelled_at, r.created_at,
     r.updated_at, r.version, r.position)
    IS DISTINCT FROM
    (o.user_id, o.status, o.currency, o.total_minor, o.units, o.lines, o.ordered_at,
        o.confirmed_at, o.cancelled_at, o.created_at,
     o.updated_at, o.version, o.position))
FROM reference.orders AS r FULL JOIN orders_g2.orders AS o USING (id)
