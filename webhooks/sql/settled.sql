-- Records whether any attempt of a round succeeded.
UPDATE webhooks.subscriptions
SET failing_since = CASE WHEN $2 THEN NULL ELSE clock_timestamp() END
WHERE id = $1 AND (failing_since IS NOT NULL) = $2
