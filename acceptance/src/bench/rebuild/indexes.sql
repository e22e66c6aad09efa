ALTER TABLE reference.orders ADD PRIMARY KEY (id);
CREATE INDEX ON reference.orders (created_at, id);
CREATE INDEX ON reference.orders (user_id, created_at, id);
CREATE INDEX ON reference.orders (status, created_at, id);
ANALYZE reference.orders;
