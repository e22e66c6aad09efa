-- Stops sending to a subscription. No row if it is paused already.
UPDATE webhooks.subscriptions SET paused_for = $2 WHERE id = $1 AND paused_for IS NULL
