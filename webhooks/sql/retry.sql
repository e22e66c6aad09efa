-- Has deliveries tried again now, with all attempts: that of one position, or all parked ones.
UPDATE webhooks.deliveries AS delivery SET next_at = clock_timestamp(), attempts = 0
FROM webhooks.feeds AS feed
WHERE feed.id = delivery.feed AND feed.subscription = $1
  AND (delivery.position = $2 OR ($2::bigint IS NULL AND delivery.next_at IS NULL))
