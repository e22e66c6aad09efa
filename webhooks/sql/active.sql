-- The feeds to send. A replay that is done may still have deliveries that a person tries again.
SELECT feed.id
FROM webhooks.feeds AS feed
JOIN webhooks.subscriptions AS subscription ON subscription.id = feed.subscription
WHERE subscription.paused_for IS NULL
  AND (feed.ended IS NULL OR EXISTS (
      SELECT FROM webhooks.deliveries AS delivery
      WHERE delivery.feed = feed.id AND delivery.next_at IS NOT NULL))
ORDER BY feed.id
