-- Moves the live feed of a subscription to where a person wants it.
UPDATE webhooks.feeds SET epoch = $2, position = $3, event_id = $4 WHERE id = $1
