-- Who holds each of these values, in their order.
SELECT c.owner AS "owner?"
FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS asked (scope, hash, nth)
LEFT JOIN event_store.reservations AS c ON c.scope = asked.scope AND c.hash = asked.hash
ORDER BY asked.nth
