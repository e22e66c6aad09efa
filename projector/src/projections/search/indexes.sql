-- Serves GET /search by whole words.
CREATE INDEX search_words ON search
USING gin (to_tsvector('simple', read_model.search_text(words)));
-- Serves GET /search by similar words.
CREATE INDEX search_similar ON search
USING gin (read_model.search_text(words) read_model.gin_trgm_ops);
-- Serves GET /search by id.
CREATE INDEX search_id ON search (id);
