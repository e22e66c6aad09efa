-- The statement that answers with every row of these projections' tables, in the order of their
-- keys, and where the checkpoints are.
SELECT format(
    'SELECT jsonb_build_object(%s, ''checkpoints'', (
        SELECT jsonb_object_agg(projection, jsonb_build_array(epoch, position, event_id))
        FROM read_model.checkpoints JOIN read_model.generations USING (projection, generation)
        WHERE live))',
    string_agg(format('%L, (SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY %s), ''[]'')
                            FROM read_model.%I AS t)', projection, key, projection), ', '))
FROM (
    SELECT projection, (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY array_position(indkey, attnum))
        FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
        WHERE indisprimary AND indrelid = to_regclass(format('%I.%I',
            read_model.generation_schema(projection, generation), projection))) AS key
    FROM read_model.generations WHERE live AND projection = ANY ($1)) AS live
