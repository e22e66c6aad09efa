-- Changes the orders $1, each at its position of $2.
UPDATE orders_g1.orders AS o
SET status = CASE status WHEN 'paid' THEN 'shipped' ELSE 'paid' END, version = version + 1,
    position = c.position
FROM unnest($1::uuid[], $2::bigint[]) AS c (id, position)
WHERE o.id = c.id
