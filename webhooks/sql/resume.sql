-- Lets a subscription go on. No row if it is not paused.
UPDATE webhooks.subscriptions SET paused_for = NULL, failing_since = NULL
WHERE id = $1 AND paused_for IS NOT NULL
