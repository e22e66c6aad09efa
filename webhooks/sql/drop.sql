-- Drops what waits for a replay that was cancelled. This is a statement of its own: the one before
-- may have waited for a round that recorded failures, which its own snapshot does not have.
DELETE FROM webhooks.deliveries WHERE feed = $1
