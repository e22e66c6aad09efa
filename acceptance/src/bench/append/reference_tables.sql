-- Tables with the same columns, constraints and indexes, for the plain INSERTs.
CREATE SCHEMA reference;
CREATE TABLE reference.events (LIKE event_store.events INCLUDING ALL);
CREATE TABLE reference.tags (LIKE event_store.tags INCLUDING ALL);
-- LIKE does not copy storage parameters. Without these, which migrations/event_store also sets,
-- only the log would be vacuumed as it grows.
ALTER TABLE reference.events SET (autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE reference.tags SET (autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
