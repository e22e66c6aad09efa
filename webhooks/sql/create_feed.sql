-- Creates a live feed, or a replay unless there are as many unfinished ones as there may be.
INSERT INTO webhooks.feeds
    (id, subscription, epoch, position, event_id, types, until, rate, reason, requested_by)
SELECT $1::uuid, $2::uuid, $3::uuid, $4::bigint, $5::uuid, $6::text[], $7::bigint, $8::integer,
    $9::text, $10::text
WHERE (SELECT count(*) FROM webhooks.feeds
       WHERE subscription = $2 AND id <> subscription AND ended IS NULL) < $11
