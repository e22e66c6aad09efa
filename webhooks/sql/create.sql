-- Creates a subscription, unless there are as many as there may be.
INSERT INTO webhooks.subscriptions (id, name, url, types, personal, secret_key, secret, created_by)
SELECT $1::uuid, $2::text, $3::text, $4::text[], $5::boolean, $6::text, $7::bytea, $8::text
WHERE (SELECT count(*) FROM webhooks.subscriptions) < $9
