-- Ends a replay. No row if it has ended already.
UPDATE webhooks.feeds SET ended = $2, ended_at = clock_timestamp()
WHERE id = $1 AND ended IS NULL AND id <> subscription
