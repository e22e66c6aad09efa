-- Changes the users $1, each at its position of $2.
UPDATE users_g1.users AS u
SET order_count = order_count + 1, version = version + 1, position = c.position
FROM unnest($1::uuid[], $2::bigint[]) AS c (id, position)
WHERE u.id = c.id
