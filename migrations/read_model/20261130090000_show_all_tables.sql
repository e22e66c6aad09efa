-- A projection may keep other tables next to its main one, such as sums over its rows that triggers
-- maintain. Their names begin with the projection's, and each has a view of its own.
SET LOCAL ROLE read_model_owner;

-- Makes the views in read_model show this generation's tables. Their columns may differ from the
-- previous ones.
CREATE OR REPLACE FUNCTION read_model.show_generation(projection text, generation integer)
RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
    schema text := read_model.generation_schema(projection, generation);
    shown text;
BEGIN
    -- The view belongs to the owner, whose default grants let readers see it.
    PERFORM set_config('role', 'read_model_owner', true);
    FOR shown IN
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = schema::regnamespace AND c.relkind = 'r'
        -- The main view is replaced first. A query locks it before it reads another one, so that
        -- neither waits for the other.
        ORDER BY c.relname <> show_generation.projection, c.relname
    LOOP
        IF shown <> projection AND (NOT starts_with(shown, projection || '_')
            OR EXISTS (SELECT FROM read_model.generations AS g WHERE g.projection = shown)) THEN
            RAISE EXCEPTION 'the table % of projection % would take the view of something else: '
                'its name must begin with %_ and must not be the name of another projection',
                shown, projection, projection;
        END IF;
        EXECUTE format('DROP VIEW IF EXISTS read_model.%I', shown);
        EXECUTE format('CREATE VIEW read_model.%I AS SELECT * FROM %I.%I', shown, schema, shown);
    END LOOP;
    UPDATE read_model.generations AS g SET live = false, live_until = clock_timestamp()
    WHERE g.projection = show_generation.projection AND g.live;
    UPDATE read_model.generations AS g SET live = true, state = 'ready', live_until = NULL
    WHERE g.projection = show_generation.projection AND g.generation = show_generation.generation;
END $$;

RESET ROLE;
