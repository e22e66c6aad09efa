-- The deliveries of a subscription that have not succeeded, in the log's order.
SELECT delivery.feed, delivery.position, delivery.event_id, delivery.type, delivery.attempts,
    delivery.next_at, delivery.error, delivery.status, delivery.first_at, delivery.last_at,
    feed.id <> feed.subscription AS "is_replay!"
FROM webhooks.deliveries AS delivery
JOIN webhooks.feeds AS feed ON feed.id = delivery.feed
WHERE feed.subscription = $1 AND delivery.position > $2
ORDER BY delivery.position, delivery.feed
LIMIT $3
