-- Creates a live feed, or a replay unless there are as many unfinished ones as there may be.
INSERT INTO webhooks.feeds
    (id, subscription, epoch, position, event_id, types, until, rate, reason, requested_by)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE (SELECT count(*) FROM webhooks.feeds
       WHERE subscription = $2 AND id <> subscription AND ended IS NULL) < $11
