-- Forgets what was delivered after all.
DELETE FROM webhooks.deliveries WHERE feed = $1 AND position = ANY($2)
