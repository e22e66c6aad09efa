-- Ends a replay of a subscription before it is done. No row if it has ended.
UPDATE webhooks.feeds SET ended = 'cancelled', ended_at = clock_timestamp()
WHERE id = $1 AND subscription = $2 AND ended IS NULL AND id <> subscription
