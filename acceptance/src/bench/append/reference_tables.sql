-- Tables of the same columns, constraints and indexes, for the plain INSERTs.
CREATE SCHEMA reference;
CREATE TABLE reference.events (LIKE event_store.events INCLUDING ALL);
CREATE TABLE reference.tags (LIKE event_store.tags INCLUDING ALL);
