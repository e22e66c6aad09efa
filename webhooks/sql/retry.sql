-- Has deliveries tried again now, with all attempts: that of one position, or all parked ones. A
-- replay that is done goes on with them.
WITH tried AS (
    UPDATE webhooks.deliveries AS delivery SET next_at = clock_timestamp(), attempts = 0
    FROM webhooks.feeds AS feed
    WHERE feed.id = delivery.feed AND feed.subscription = $1
      AND (delivery.position = $2 OR ($2::bigint IS NULL AND delivery.next_at IS NULL))
    RETURNING delivery.feed
), opened AS (
    UPDATE webhooks.feeds SET ended = NULL, ended_at = NULL
    WHERE ended = 'done' AND id IN (SELECT feed FROM tried)
)
SELECT feed FROM tried
