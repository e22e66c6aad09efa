-- Records what a person decided.
INSERT INTO webhooks.audit (by, credential, action, subscription, detail)
VALUES ($1, $2, $3, $4, $5)
