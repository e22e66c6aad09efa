-- Deletes a subscription with its feeds and deliveries.
DELETE FROM webhooks.subscriptions WHERE id = $1
