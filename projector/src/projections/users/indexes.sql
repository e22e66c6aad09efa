-- Serves GET /users sorted by creation, newest or oldest first, with the id as tie-breaker.
CREATE INDEX users_created_at ON users (created_at, id);
-- Serves GET /users?email=…
CREATE INDEX users_email ON users (email);
