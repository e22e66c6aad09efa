-- Roles and their rights. Roles belong to the whole cluster, so they may exist already, or another
-- database's migration may be creating them now.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['subject_keys_writer', 'subject_keys_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- exists already
        END;
    END LOOP;
END
$$;

REVOKE ALL ON SCHEMA subject_keys FROM PUBLIC;
GRANT USAGE ON SCHEMA subject_keys TO subject_keys_writer, subject_keys_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA subject_keys TO subject_keys_writer, subject_keys_reader;
-- Keys and ledger rows are never deleted. A destroyed key's row stays.
GRANT INSERT, UPDATE ON subject_keys.keys, subject_keys.erasures,
    subject_keys.known_head TO subject_keys_writer;
GRANT UPDATE ON subject_keys.applied TO subject_keys_writer;
