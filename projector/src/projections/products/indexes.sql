-- Serves GET /products sorted by creation.
CREATE INDEX products_created_at ON products (created_at, id);
-- Serves GET /products sorted or filtered by name.
CREATE INDEX products_name ON products (name, id);
-- Serves GET /products/{id}?as_of=TIME.
CREATE INDEX products_history_at ON products_history (id, event_at, position);
-- Serves live updates of products: the rows that changed after a position.
CREATE INDEX products_position ON products (position, id);
