-- Serves GET /orders sorted by creation.
CREATE INDEX orders_created_at ON orders (created_at, id);
-- Serves GET /users/{id}/orders and GET /orders?user_id=…
CREATE INDEX orders_user ON orders (user_id, created_at, id);
-- Serves GET /orders?status=…
CREATE INDEX orders_status ON orders (status, created_at, id);
-- Serves GET /orders/{id}?as_of=TIME.
CREATE INDEX orders_history_at ON orders_history (id, event_at, position);
-- Serves live updates of orders: the rows that changed after a position.
CREATE INDEX orders_position ON orders (position, id);
