-- Gives up the delivery of one position.
DELETE FROM webhooks.deliveries AS delivery USING webhooks.feeds AS feed
WHERE feed.id = delivery.feed AND feed.subscription = $1 AND delivery.position = $2
