-- Functions for the schema of a generation. Only they build its name.
SET LOCAL ROLE read_model_owner;

-- Returns the schema name of a generation.
CREATE FUNCTION read_model.generation_schema(projection text, generation integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT projection || '_g' || generation;
$$;

-- Creates the schema, and makes it current with its owner's rights until the end of the
-- transaction.
CREATE FUNCTION read_model.begin_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
    schema text := read_model.generation_schema(projection, generation);
BEGIN
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION read_model_owner', schema);
    PERFORM set_config('role', 'read_model_owner', true);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO read_model_reader', schema);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I '
        'GRANT SELECT ON TABLES TO read_model_reader', schema);
    PERFORM set_config('search_path', quote_ident(schema), true);
END $$;

-- Makes a generation's schema current, with its owner's rights, until the end of the transaction.
CREATE FUNCTION read_model.work_in_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
BEGIN
    PERFORM set_config('role', 'read_model_owner', true);
    PERFORM set_config('search_path', quote_ident(read_model.generation_schema(projection,
        generation)), true);
END $$;

-- Removes the keys of a generation's empty tables and records them in its rebuild. Creating a key
-- after loading costs a fraction of maintaining it during loading.
CREATE FUNCTION read_model.set_constraints_aside(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
    found record;
    definitions text[] := '{}';
BEGIN
    FOR found IN
        SELECT c.conrelid::regclass AS of_table, c.conname AS name, pg_get_constraintdef(c.oid)
            AS definition
        FROM pg_constraint AS c
        JOIN pg_class AS t ON t.oid = c.conrelid
        WHERE t.relnamespace = read_model.generation_schema(projection, generation)::regnamespace
            AND c.contype IN ('p', 'u')
        ORDER BY c.oid
    LOOP
        definitions := definitions || format('ALTER TABLE %s ADD CONSTRAINT %I %s', found.of_table,
            found.name, found.definition);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.of_table, found.name);
    END LOOP;
    UPDATE read_model.rebuilds AS r SET set_aside = definitions
    WHERE r.projection = set_constraints_aside.projection
        AND r.generation = set_constraints_aside.generation;
END $$;

-- Restores the removed keys.
CREATE FUNCTION read_model.restore_constraints(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
    definition text;
BEGIN
    FOR definition IN
        SELECT unnest(r.set_aside) FROM read_model.rebuilds AS r
        WHERE r.projection = restore_constraints.projection
            AND r.generation = restore_constraints.generation
    LOOP
        EXECUTE definition;
    END LOOP;
    UPDATE read_model.rebuilds AS r SET set_aside = '{}'
    WHERE r.projection = restore_constraints.projection
        AND r.generation = restore_constraints.generation;
END $$;

-- Analyses a generation's tables before the first query.
CREATE FUNCTION read_model.analyze_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
    name regclass;
BEGIN
    FOR name IN
        SELECT oid FROM pg_class
        WHERE relnamespace = read_model.generation_schema(projection, generation)::regnamespace
            AND relkind = 'r'
    LOOP
        EXECUTE format('ANALYZE %s', name);
    END LOOP;
END $$;

-- Makes the view read_model.<projection> show this generation's main table. Its columns may differ
-- from the previous ones.
CREATE FUNCTION read_model.show_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
BEGIN
    -- The view belongs to the owner, whose default grants let readers see it.
    PERFORM set_config('role', 'read_model_owner', true);
    EXECUTE format('DROP VIEW IF EXISTS read_model.%I', projection);
    EXECUTE format('CREATE VIEW read_model.%I AS SELECT * FROM %I.%I',
                   projection, read_model.generation_schema(projection, generation), projection);
    UPDATE read_model.generations AS g SET live = false, live_until = clock_timestamp()
    WHERE g.projection = show_generation.projection AND g.live;
    UPDATE read_model.generations AS g SET live = true, state = 'ready', live_until = NULL
    WHERE g.projection = show_generation.projection AND g.generation = show_generation.generation;
END $$;

-- Drops a generation with all its rows.
CREATE FUNCTION read_model.drop_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
BEGIN
    -- The checkpoint is locked first, as in the projector, so that the two cannot deadlock.
    DELETE FROM read_model.checkpoints AS c
    WHERE c.projection = drop_generation.projection AND c.generation = drop_generation.generation;
    EXECUTE format('DROP SCHEMA %I CASCADE', read_model.generation_schema(projection, generation));
    DELETE FROM read_model.leases AS l
    WHERE starts_with(l.name, read_model.generation_schema(drop_generation.projection,
        drop_generation.generation) || '/');
    DELETE FROM read_model.parked AS p WHERE p.projection = drop_generation.projection
        AND p.generation = drop_generation.generation;
    DELETE FROM read_model.stale AS s WHERE s.projection = drop_generation.projection
        AND s.generation = drop_generation.generation;
    DELETE FROM read_model.retry_requests AS r
    WHERE r.projection = drop_generation.projection AND r.generation = drop_generation.generation;
    DELETE FROM read_model.generations AS g
    WHERE g.projection = drop_generation.projection AND g.generation = drop_generation.generation;
END $$;

RESET ROLE;
