-- Ends a replay of a subscription before it is done, with what waits. No row if it has ended.
WITH ended AS (
    UPDATE webhooks.feeds SET ended = 'cancelled', ended_at = clock_timestamp()
    WHERE id = $1 AND subscription = $2 AND ended IS NULL AND id <> subscription
    RETURNING id
), dropped AS (
    DELETE FROM webhooks.deliveries WHERE feed IN (SELECT id FROM ended)
)
SELECT id FROM ended
