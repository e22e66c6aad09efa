-- Records that a replay has sent everything. No row if it has ended already.
UPDATE webhooks.feeds SET ended = 'done', ended_at = clock_timestamp()
WHERE id = $1 AND ended IS NULL AND id <> subscription
