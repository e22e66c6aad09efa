-- Search: text as it is compared, without accents and without case.
SET LOCAL ROLE read_model_owner;

DO $$
DECLARE
    wanted text;
    elsewhere text;
BEGIN
    -- Both extensions are trusted: who may create schemas in the database may create them.
    FOREACH wanted IN ARRAY ARRAY['pg_trgm', 'unaccent'] LOOP
        SELECT n.nspname INTO elsewhere
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = wanted AND n.nspname <> 'read_model';
        IF FOUND THEN
            RAISE EXCEPTION 'the extension % is in the schema %, and a database has it only once: '
                'run ALTER EXTENSION % SET SCHEMA read_model', wanted, elsewhere, wanted;
        END IF;
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA read_model', wanted);
    END LOOP;
END $$;

-- Returns the text in lower case and without accents. Indexes use it, so it is declared immutable,
-- which the dictionary of accents is as long as nobody edits its file.
CREATE FUNCTION read_model.search_text(text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT lower(read_model.unaccent('read_model.unaccent'::regdictionary, $1));
$$;

RESET ROLE;
