-- Creates a subscription, unless there are as many as there may be.
INSERT INTO webhooks.subscriptions (id, name, url, types, personal, secret_key, secret, created_by)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE (SELECT count(*) FROM webhooks.subscriptions) < $9
