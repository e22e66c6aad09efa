-- Where the reservations and what the log makes of them differ.
SELECT coalesce(c.scope, told.scope), encode(coalesce(c.hash, told.hash), 'hex'), c.owner,
    told.owner, coalesce(told.position, c.position)
FROM event_store.reservations AS c
FULL JOIN pg_temp.told_reservations AS told ON told.scope = c.scope AND told.hash = c.hash
WHERE c.owner IS DISTINCT FROM told.owner OR c.position IS DISTINCT FROM told.position
LIMIT $1
