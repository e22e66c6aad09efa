-- Computes digests of ranges of the log, behind the head. See event_store.digests.
--
-- An event's digest covers its columns as text, one per line. Only the last two columns can contain
-- a line end, and the last but one is preceded by its length. So no two events have the same text.
-- event-store/src/postgres/verify/chain.rs computes the same in Rust.

CREATE FUNCTION event_store.event_digest(e event_store.events) RETURNS bytea
LANGUAGE sql STABLE  -- no SET clause, so that the caller can inline it
AS $$
    SELECT pg_catalog.sha256(convert_to(concat_ws(E'\n', e.position, e.version, e.event_id,
        (extract(epoch FROM e.recorded_at) * 1000000)::bigint,
        e.schema_version, e.stream, e.event_type, array_to_string(e.tags, ' '),
            octet_length(e.metadata::text), e.metadata, e.data), 'UTF8'))
$$;

-- Digests up to p_most events after the last digest. Callers may race; the second one to finish
-- changes nothing.
CREATE FUNCTION event_store.digest_log(p_most integer, OUT o_digested_to bigint, OUT o_head bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    v_last     bigint;
    v_previous bytea;
    v_added    bigint;
BEGIN
    SELECT coalesce(max(e.position), 0) INTO o_head FROM event_store.events AS e;
    SELECT s.last_position, s.digest INTO v_last, v_previous FROM event_store.digests AS s
        ORDER BY s.last_position DESC LIMIT 1;
    v_last := coalesce(v_last, 0);
    o_digested_to := least(o_head, v_last + p_most);
    IF o_digested_to <= v_last THEN
        o_digested_to := v_last;
        RETURN;
    END IF;
    INSERT INTO event_store.digests (first_position, last_position, previous, digest, event_digests)
        SELECT v_last + 1, o_digested_to, v_previous, sha256(coalesce(v_previous,
            '') || string_agg(d.digest, ''::bytea ORDER BY d.position)),
               string_agg(substr(d.digest, 1, 8), ''::bytea ORDER BY d.position)
            FROM (SELECT e.position, event_store.event_digest(e) AS digest FROM event_store.events
                AS e
                      WHERE e.position > v_last AND e.position <= o_digested_to) AS d
            HAVING count(*) = o_digested_to - v_last
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_added = ROW_COUNT;
    IF v_added = 0 AND NOT EXISTS (SELECT FROM event_store.digests AS s
        WHERE s.last_position > v_last) THEN
        RAISE EXCEPTION 'the log has a gap after position %: nothing is digested', v_last
            USING ERRCODE = 'DB003';
    END IF;
END
$function$;
