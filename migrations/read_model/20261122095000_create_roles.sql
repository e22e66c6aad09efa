-- Roles and their rights. Roles belong to the whole cluster, so another database's migration may
-- have created them, or be creating them now.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['read_model_owner', 'read_model_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- the other migration was first
            END;
        END IF;
    END LOOP;
    -- The owner creates a schema per generation of a projection. A verification folds into
    -- temporary tables.
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO read_model_owner',
        current_database());
END $$;

CREATE SCHEMA IF NOT EXISTS read_model;
ALTER SCHEMA read_model OWNER TO read_model_owner;
ALTER TABLE IF EXISTS read_model._sqlx_migrations OWNER TO read_model_owner;
GRANT USAGE ON SCHEMA read_model TO read_model_reader;
-- The reader may read everything that the owner creates here.
ALTER DEFAULT PRIVILEGES FOR ROLE read_model_owner IN SCHEMA read_model GRANT SELECT
    ON TABLES TO read_model_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA read_model TO read_model_reader;
