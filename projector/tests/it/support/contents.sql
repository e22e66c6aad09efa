-- The statement that answers with every row of these projections' tables that have a primary key,
-- their histories among them, in the order of their keys, and where the checkpoints are.
SELECT format(
    'SELECT jsonb_build_object(%s, ''checkpoints'', (
        SELECT jsonb_object_agg(projection, jsonb_build_array(epoch, position, event_id))
        FROM read_model.checkpoints JOIN read_model.generations USING (projection, generation)
        WHERE live))',
    string_agg(format('%L, (SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY %s), ''[]'')
                            FROM read_model.%I AS t)', name, key, name), ', '))
FROM (
    SELECT relname AS name, (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY array_position(indkey, attnum))
        FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)) AS key
    FROM read_model.generations
    JOIN pg_class ON relnamespace = to_regnamespace(
        quote_ident(read_model.generation_schema(projection, generation)))
    JOIN pg_index ON indrelid = pg_class.oid AND indisprimary
    WHERE live AND projection = ANY ($1)) AS live
