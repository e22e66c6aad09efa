-- Serves GET /users sorted by creation, newest or oldest first, with the id as tie-breaker.
CREATE INDEX users_created_at ON users (created_at, id);
-- Serves GET /users sorted by the number of orders.
CREATE INDEX users_order_count ON users (order_count, id);
-- Serves GET /users?email=…; addresses are compared without case.
CREATE INDEX users_email ON users (lower(email COLLATE "C"));
-- Serves GET /users/{id}?as_of=TIME.
CREATE INDEX users_history_at ON users_history (id, event_at, position);
-- Serves live updates of users: the rows that changed after a position.
CREATE INDEX users_position ON users (position, id);
