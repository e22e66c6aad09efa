-- The subscription of a feed.
SELECT subscription FROM webhooks.feeds WHERE id = $1
