-- Replaces the secret. The old one signs, too, for a while.
UPDATE webhooks.subscriptions
SET old_key = secret_key, old_secret = secret,
    old_until = clock_timestamp() + make_interval(secs => $4), secret_key = $2, secret = $3
WHERE id = $1
