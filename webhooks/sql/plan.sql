-- Everything that a round of a feed needs; no row if there is nothing to send any more.
SELECT feed.id, feed.subscription, feed.epoch, feed.position, feed.event_id,
    coalesce(feed.types, subscription.types) AS "types!", feed.until, feed.rate,
    subscription.url, subscription.personal, subscription.secret_key, subscription.secret,
    CASE WHEN subscription.old_until > clock_timestamp() THEN subscription.old_key END AS old_key,
    subscription.old_secret,
    coalesce(clock_timestamp() - subscription.failing_since > make_interval(secs => $2), false)
        AS "failed_for_long!",
    (SELECT count(*) FROM webhooks.deliveries WHERE feed = $1 AND next_at IS NOT NULL)
        AS "waiting!",
    (SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8
     FROM webhooks.deliveries WHERE feed = $1) AS due_in,
    (SELECT count(*) FROM webhooks.deliveries AS delivery
     JOIN webhooks.feeds AS other ON other.id = delivery.feed
     WHERE other.subscription = feed.subscription AND delivery.next_at IS NULL) AS "parked!"
FROM webhooks.feeds AS feed
JOIN webhooks.subscriptions AS subscription ON subscription.id = feed.subscription
WHERE feed.id = $1 AND subscription.paused_for IS NULL
  AND (feed.ended IS NULL OR EXISTS (SELECT FROM webhooks.deliveries
                                     WHERE feed = $1 AND next_at IS NOT NULL))
