-- Compares the past of rows, too: a table whose primary key has a position behind the key of the
-- main table. Partitions, samples and stale keys go by the key of the main table. Where both are
-- the same table, nothing changes.
SET LOCAL ROLE read_model_owner;

-- Returns the SQL condition "after $1, up to $2 if it is set" on a table's key, "in the sample of
-- seed $3 and share $4, and in partition $5 of $6" on the key of the main table.
CREATE FUNCTION read_model.chunk_condition(compared regclass, alias text, main regclass)
RETURNS text
LANGUAGE sql STABLE STRICT AS $$
    SELECT format('($1 IS NULL OR (%1$s) > (%2$s)) AND ($2 IS NULL OR (%1$s) <= (%3$s))'
                  ' AND ($4 >= 4294967296 OR read_model.is_sampled(concat_ws(''/'', %4$s), $3, $4))'
                  ' AND ($6 = 1 OR read_model.partition_of(concat_ws(''/'', %4$s), $6) = $5)',
                  string_agg(format('%I.%I', alias, k.name), ', ' ORDER BY k.place),
                  string_agg(format('($1)[%s]::%s', k.place, format_type(a.atttypid, a.atttypmod)),
                      ', ' ORDER BY k.place),
                  string_agg(format('($2)[%s]::%s', k.place, format_type(a.atttypid, a.atttypmod)),
                      ', ' ORDER BY k.place),
                  (SELECT string_agg(format('%I.%I', alias, name), ', ')
                   FROM unnest(read_model.key_columns(main)) AS name))
    FROM unnest(read_model.key_columns(compared)) WITH ORDINALITY AS k (name, place)
    JOIN pg_attribute AS a ON a.attrelid = compared AND a.attname = k.name;
$$;

CREATE OR REPLACE FUNCTION read_model.chunk_condition(compared regclass, alias text) RETURNS text
LANGUAGE sql STABLE STRICT AS $$
    SELECT read_model.chunk_condition(compared, alias, compared);
$$;

-- Copies the next chunk of a partition's live rows after a key. Returns the number of rows, and the
-- last key unless there are no more rows. It runs in the caller's snapshot, in which the caller
-- reads the checkpoint.
CREATE FUNCTION read_model.take_chunk(live regclass, after text[], size integer, seed text,
    below bigint, partition integer, partitions integer, main regclass,
                                      OUT taken bigint, OUT last text[])
LANGUAGE plpgsql AS $$
DECLARE
    keys text := (SELECT string_agg(format('c.%I', name), ', ')
        FROM unnest(read_model.key_columns(live)) AS name);
    last_key text := (SELECT string_agg(format('c.%I::text', name), ', ')
        FROM unnest(read_model.key_columns(live)) AS name);
    backward text := (SELECT string_agg(format('c.%I DESC', name), ', ')
        FROM unnest(read_model.key_columns(live)) AS name);
BEGIN
    IF after IS NULL AND to_regclass('pg_temp.compared_chunk') IS NOT NULL THEN
        -- The chunks before may have been of another table.
        DROP TABLE pg_temp.compared_chunk;
    END IF;
    IF to_regclass('pg_temp.compared_chunk') IS NULL THEN
        EXECUTE format('CREATE TEMPORARY TABLE compared_chunk (LIKE %s)', live);
    ELSE
        TRUNCATE pg_temp.compared_chunk;
    END IF;
    EXECUTE format('INSERT INTO pg_temp.compared_chunk '
                   'SELECT c.* FROM %s AS c WHERE %s ORDER BY %s LIMIT $7',
                   live, read_model.chunk_condition(live, 'c', main), keys)
    USING after, NULL::text[], seed, below, partition, partitions, size;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken = size THEN
        EXECUTE format('SELECT ARRAY[%s] FROM pg_temp.compared_chunk AS c ORDER BY %s LIMIT 1',
            last_key, backward) INTO last;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION read_model.take_chunk(live regclass, after text[], size integer,
    seed text, below bigint, partition integer, partitions integer,
                                      OUT taken bigint, OUT last text[])
LANGUAGE sql AS $$
    SELECT * FROM read_model.take_chunk(live, after, size, seed, below, partition, partitions,
        live);
$$;

-- Compares the copied chunk with the same keys of the other table, in the columns that both have.
-- It also returns sample rows. Rows with stale keys are known to lack events, so their differences
-- are only counted.
CREATE FUNCTION read_model.compare_chunk(live regclass, other regclass, after text[], upto text[],
    seed text, below bigint,
                                         partition integer, partitions integer, samples integer,
                                             stale_keys text[], main regclass,
                                         OUT missing bigint, OUT extra bigint,
                                             OUT different bigint, OUT stale bigint,
                                                 OUT sampled jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    key_names text[] := read_model.key_columns(live);
    key_of_live text := (SELECT string_agg(format('c.%I', name), ', ') FROM unnest(key_names)
        AS name);
    key_of_other text := (SELECT string_agg(format('e.%I', name), ', ') FROM unnest(key_names)
        AS name);
    main_of_live text := (SELECT string_agg(format('c.%I', name), ', ')
        FROM unnest(read_model.key_columns(main)) AS name);
    main_of_other text := (SELECT string_agg(format('e.%I', name), ', ')
        FROM unnest(read_model.key_columns(main)) AS name);
    only_live text[];
    only_other text[];
    differs text;
BEGIN
    -- Values whose types have no equality, or differ, are compared as JSON.
    SELECT COALESCE(array_agg(a.attname::text) FILTER (WHERE b.attname IS NULL), '{}'),
           COALESCE(array_agg(b.attname::text) FILTER (WHERE a.attname IS NULL), '{}'),
           string_agg(format(CASE WHEN a.atttypid = b.atttypid AND a.atttypid <> 'json'::regtype
                                  THEN 'c.%1$I IS DISTINCT FROM e.%1$I'
                                  ELSE 'to_jsonb(c.%1$I) IS DISTINCT FROM to_jsonb(e.%1$I)' END,
                                      a.attname), ' OR ')
               FILTER (WHERE a.attname IS NOT NULL AND b.attname IS NOT NULL)
    INTO only_live, only_other, differs
    FROM (SELECT * FROM pg_attribute WHERE attrelid = live AND attnum > 0 AND NOT attisdropped) AS a
    FULL JOIN (SELECT * FROM pg_attribute WHERE attrelid = other AND attnum > 0
        AND NOT attisdropped) AS b
        ON a.attname = b.attname;
    EXECUTE format(
        'WITH found AS (
             SELECT CASE WHEN concat_ws(''/'', %7$s) = ANY ($10) OR concat_ws(''/'',
                 %8$s) = ANY ($10) THEN ''stale''
                         WHEN c.%1$I IS NULL THEN ''missing'' WHEN e.%1$I IS NULL THEN ''extra''
                             ELSE ''different'' END AS kind,
                    concat_ws(''/'', %2$s) AS live_key, concat_ws(''/'', %3$s) AS other_key,
                    to_jsonb(c) - $7 AS live_row, to_jsonb(e) - $8 AS other_row
             FROM pg_temp.compared_chunk AS c
             FULL JOIN (SELECT e.* FROM %4$s AS e WHERE %5$s) AS e ON (%2$s) = (%3$s)
             WHERE c.%1$I IS NULL OR e.%1$I IS NULL OR %6$s),
         few AS (SELECT * FROM found WHERE kind <> ''stale'' LIMIT $9)
         SELECT count(*) FILTER (WHERE kind = ''missing''),
             count(*) FILTER (WHERE kind = ''extra''),
                count(*) FILTER (WHERE kind = ''different''),
                    count(*) FILTER (WHERE kind = ''stale''),
                COALESCE((SELECT jsonb_agg(jsonb_build_object(
                    ''kind'', kind,
                    ''key'', CASE kind WHEN ''missing'' THEN other_key ELSE live_key END,
                    ''live'', CASE WHEN kind <> ''missing'' THEN live_row END,
                    ''folded'', CASE WHEN kind <> ''extra'' THEN other_row END)) FROM few), ''[]'')
         FROM found',
        key_names[1], key_of_live, key_of_other, other,
            read_model.chunk_condition(live, 'e', main), differs, main_of_live, main_of_other)
    INTO missing, extra, different, stale, sampled
    USING after, upto, seed, below, partition, partitions, only_live, only_other, samples,
        stale_keys;
END $$;

CREATE OR REPLACE FUNCTION read_model.compare_chunk(live regclass, other regclass, after text[],
    upto text[], seed text, below bigint, partition integer, partitions integer, samples integer,
    stale_keys text[],
                                         OUT missing bigint, OUT extra bigint,
                                             OUT different bigint, OUT stale bigint,
                                                 OUT sampled jsonb)
LANGUAGE sql AS $$
    SELECT * FROM read_model.compare_chunk(live, other, after, upto, seed, below, partition,
        partitions, samples, stale_keys, live);
$$;

RESET ROLE;
