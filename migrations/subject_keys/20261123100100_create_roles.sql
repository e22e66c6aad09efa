-- Who may do what. Roles belong to the whole cluster and may be there already, or be made by
-- another database's migration just now.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['subject_keys_writer', 'subject_keys_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- there already
        END;
    END LOOP;
END
$$;

REVOKE ALL ON SCHEMA subject_keys FROM PUBLIC;
GRANT USAGE ON SCHEMA subject_keys TO subject_keys_writer, subject_keys_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA subject_keys TO subject_keys_writer, subject_keys_reader;
-- Keys and ledger lines are never deleted: a key is destroyed in its place.
GRANT INSERT, UPDATE ON subject_keys.keys, subject_keys.erasures,
    subject_keys.known_head TO subject_keys_writer;
GRANT UPDATE ON subject_keys.applied TO subject_keys_writer;
