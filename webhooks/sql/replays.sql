-- The replays of a subscription, the newest first.
SELECT id, position, types, until AS "until!", rate AS "rate!", reason AS "reason!",
    requested_by AS "requested_by!", requested_at, ended, ended_at
FROM webhooks.feeds
WHERE subscription = $1 AND id <> subscription
ORDER BY id DESC
LIMIT $2
