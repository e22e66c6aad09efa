-- The subscriptions, or one of them.
SELECT subscription.id, subscription.name, subscription.url, subscription.types,
    subscription.personal, subscription.paused_for, subscription.failing_since,
    subscription.old_until, subscription.created_at, subscription.created_by, feed.position,
    (SELECT count(*) FROM webhooks.deliveries AS delivery
     JOIN webhooks.feeds AS any_feed ON any_feed.id = delivery.feed
     WHERE any_feed.subscription = subscription.id AND delivery.next_at IS NOT NULL)
        AS "waiting!",
    (SELECT count(*) FROM webhooks.deliveries AS delivery
     JOIN webhooks.feeds AS any_feed ON any_feed.id = delivery.feed
     WHERE any_feed.subscription = subscription.id AND delivery.next_at IS NULL) AS "parked!"
FROM webhooks.subscriptions AS subscription
JOIN webhooks.feeds AS feed ON feed.id = subscription.id
WHERE $1::uuid IS NULL OR subscription.id = $1
ORDER BY subscription.id
LIMIT $2
