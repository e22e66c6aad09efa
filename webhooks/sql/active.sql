-- The feeds to send.
SELECT feed.id
FROM webhooks.feeds AS feed
JOIN webhooks.subscriptions AS subscription ON subscription.id = feed.subscription
WHERE feed.ended IS NULL AND subscription.paused_for IS NULL
ORDER BY feed.id
