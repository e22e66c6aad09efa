-- What is done to the schema of a generation, whose name is made here and nowhere else.
SET LOCAL ROLE read_model_owner;

-- The schema of a generation.
CREATE FUNCTION read_model.generation_schema(projection text, generation integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT projection || '_g' || generation;
$$;

-- Makes the schema and works in it, as its owner, until the end of the transaction.
CREATE FUNCTION read_model.begin_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
    schema text := read_model.generation_schema(projection, generation);
BEGIN
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION read_model_owner', schema);
    PERFORM set_config('role', 'read_model_owner', true);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO read_model_reader', schema);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO read_model_reader', schema);
    PERFORM set_config('search_path', quote_ident(schema), true);
END $$;

-- Makes the view read_model.<projection> show this generation's main table. Its columns may be others than before.
CREATE FUNCTION read_model.show_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
BEGIN
    EXECUTE format('DROP VIEW IF EXISTS read_model.%I', projection);
    EXECUTE format('CREATE VIEW read_model.%I AS SELECT * FROM %I.%I',
                   projection, read_model.generation_schema(projection, generation), projection);
    UPDATE read_model.generations AS g SET live = false WHERE g.projection = show_generation.projection AND g.live;
    UPDATE read_model.generations AS g SET live = true
    WHERE g.projection = show_generation.projection AND g.generation = show_generation.generation;
END $$;

-- Removes a generation with all its rows.
CREATE FUNCTION read_model.drop_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql STRICT AS $$
BEGIN
    -- The checkpoint first, as the projector takes it first: so neither waits for the other in a circle.
    DELETE FROM read_model.checkpoints AS c
    WHERE c.projection = drop_generation.projection AND c.generation = drop_generation.generation;
    EXECUTE format('DROP SCHEMA %I CASCADE', read_model.generation_schema(projection, generation));
    DELETE FROM read_model.leases AS l
    WHERE starts_with(l.name, read_model.generation_schema(drop_generation.projection, drop_generation.generation) || '/');
    DELETE FROM read_model.generations AS g
    WHERE g.projection = drop_generation.projection AND g.generation = drop_generation.generation;
END $$;

RESET ROLE;
