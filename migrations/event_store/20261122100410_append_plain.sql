-- The fast path for appends: for a plain batch. Its members have one event for one stream each,
-- expect at most a version, and may have an idempotency key. It takes three statements, or four
-- with keys: lock, look, insert. A batch with a refusal takes the full path
-- (event_store.append_batch) under the same lock. So does a batch that was sent before or repeats a
-- key. The unique constraints detect that, because it is rare, and checking first would cost 0.7 of
-- 11.2 us per append.
--
-- Members of a chain may share a stream, as in the full path.
--
-- Arrays run over members. p_epoch is null or has all of them. p_key and its companions are null or
-- have nulls for members without a key.

CREATE TYPE event_store.append_answer AS (
    epoch         uuid,
    head          bigint,
    head_event_id uuid,
    recorded_at   timestamptz,
    status        event_store.append_status[],
    version       bigint[],
    number        bigint[],
    index         integer[],
    detail        text[]
);

CREATE FUNCTION event_store.append_plain_batch(
    p_epoch          uuid[],
    p_key            bytea[],
    p_request_hash   bytea[],
    p_answer         text[],
    p_stream         text[],
    p_expected       bigint[],
    p_behind         uuid[],
    p_event_id       uuid[],
    p_event_type     text[],
    p_event_schema   integer[],
    p_event_data     text[],
    p_event_metadata text[],
    p_event_tags     text[]
)
RETURNS event_store.append_answer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
AS $function$
DECLARE
    v_epoch         uuid;
    isolation       text;
    unsafe          text;
    head            bigint;
    head_event_id   uuid;
    v_recorded_at   timestamptz;
    v_version       bigint[];
    refused         boolean;
    nth             integer[];
    ones            integer[];
    answer          event_store.append_answer;
BEGIN
    IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, pg_temp' THEN
        RAISE EXCEPTION 'append needs the search_path pg_catalog, pg_temp' USING ERRCODE = 'DB001';
    END IF;
    -- Every check below reads everything committed before this lock was granted, because each
    -- statement of a volatile function has its own snapshot.
    SELECT l.epoch, current_setting('transaction_isolation'), event_store.unsafe_setting()
        INTO STRICT v_epoch, isolation, unsafe FROM event_store.log AS l FOR UPDATE;
    IF isolation <> 'read committed' THEN
        RAISE EXCEPTION 'append needs the isolation level read committed' USING ERRCODE = 'DB001';
    ELSIF unsafe IS NOT NULL THEN
        RAISE EXCEPTION '%', unsafe USING ERRCODE = 'DB004';
    END IF;

    SELECT coalesce(h.position, 0), h.event_id, greatest(clock_timestamp(), h.recorded_at),
           ARRAY(SELECT coalesce((SELECT CASE e.event_type WHEN 'stream.closed' THEN -2 - e.version
               ELSE e.version END
                                      FROM event_store.events AS e WHERE e.stream = p_stream[n]
                                          ORDER BY e.version DESC LIMIT 1), 0)
                     FROM generate_subscripts(p_stream, 1) AS n)
        INTO head, head_event_id, v_recorded_at, v_version
        FROM (SELECT) AS always
        LEFT JOIN (SELECT e.position, e.event_id, e.recorded_at FROM event_store.events AS e
            ORDER BY e.position DESC LIMIT 1) AS h ON true;

    refused := v_epoch <> ANY (p_epoch);
    IF p_behind IS NOT NULL AND refused IS NOT true THEN
        -- Chains: each member follows the earlier members of its stream. If one does not fit, the
        -- whole batch takes the full path.
        SELECT array_agg(c.version ORDER BY c.nth),
               bool_or(v_version[c.nth] < 0 OR c.before_type = 'stream.closed'
                   OR p_behind[c.nth] IS NOT NULL AND p_behind[c.nth] IS DISTINCT
                       FROM coalesce(c.before,
                       (SELECT e.event_id FROM event_store.events AS e
                           WHERE e.stream = p_stream[c.nth] ORDER BY e.version DESC LIMIT 1))
                   OR CASE p_expected[c.nth] WHEN -1 THEN false WHEN -2 THEN c.version = 0
                       ELSE c.version <> p_expected[c.nth] END)
            INTO v_version, refused
            FROM (SELECT n AS nth, v_version[n] + row_number() OVER same_stream - 1 AS version,
                         lag(p_event_id[n]) OVER same_stream AS before,
                             lag(p_event_type[n]) OVER same_stream AS before_type
                      FROM generate_subscripts(p_stream, 1) AS n
                      WINDOW same_stream AS (PARTITION BY p_stream[n] ORDER BY n)) AS c;
    ELSIF refused IS NOT true AND v_version <> p_expected THEN
        refused := EXISTS (SELECT FROM unnest(v_version, p_expected) AS u (actual, expected)
            WHERE u.actual < 0 OR CASE u.expected WHEN -1 THEN false WHEN -2 THEN u.actual = 0
                ELSE u.actual <> u.expected END);
    END IF;
    IF refused IS NOT true THEN
        BEGIN
            WITH added AS (
                INSERT INTO event_store.events (position, version, event_id, recorded_at,
                    schema_version, stream, event_type, data, tags, metadata)
                    SELECT head + n, v_version[n] + 1, p_event_id[n], v_recorded_at,
                        p_event_schema[n], p_stream[n], p_event_type[n],
                           p_event_data[n]::json, string_to_array(p_event_tags[n], ' '),
                               p_event_metadata[n]::json
                        FROM generate_subscripts(p_event_id, 1) AS n
                    RETURNING tags, position
            )
            INSERT INTO event_store.tags (tag, position) SELECT unnest(added.tags), added.position
                FROM added;
            IF p_key IS NOT NULL THEN
                INSERT INTO event_store.idempotency (key, request_hash, append_id, epoch, position,
                    event_count, streams, versions, answer)
                    SELECT p_key[n], p_request_hash[n], p_event_id[n], v_epoch, head + n, 1,
                        ARRAY[p_stream[n]], ARRAY[v_version[n] + 1], p_answer[n]::json
                        FROM generate_subscripts(p_key, 1) AS n WHERE p_key[n] IS NOT NULL;
            END IF;
            RETURN (v_epoch, head, head_event_id, v_recorded_at, NULL, v_version, NULL, NULL,
                NULL)::event_store.append_answer;
        EXCEPTION WHEN unique_violation THEN
            -- an event id or a key exists in the log: the full path finds out which, and what it
            -- means
            NULL;
        END;
    END IF;

    nth := ARRAY(SELECT generate_subscripts(p_event_id, 1));
    ones := array_fill(1, ARRAY[cardinality(p_event_id)]);
    SELECT * INTO STRICT answer FROM event_store.append_batch(
        p_event_id, p_epoch, ones, p_key, p_request_hash, p_answer, p_stream, nth, ones, p_expected,
        p_behind, nth, nth, ones, ones, p_event_id, p_event_type, p_event_schema, p_event_data,
            p_event_metadata, p_event_tags,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    RETURN answer;
END
$function$;

CREATE PROCEDURE event_store.append_plain(
    p_epoch uuid[], p_key bytea[], p_request_hash bytea[], p_answer text[], p_stream text[],
        p_expected bigint[], p_behind uuid[],
    p_event_id uuid[],
    p_event_type text[], p_event_schema integer[], p_event_data text[], p_event_metadata text[],
        p_event_tags text[],
    OUT epoch uuid, OUT head bigint, OUT head_event_id uuid, OUT status text[],
        OUT version bigint[],
    OUT number bigint[], OUT index integer[], OUT detail text[], OUT waited double precision
)
LANGUAGE plpgsql
AS $procedure$
DECLARE
    answer event_store.append_answer;
BEGIN
    answer := event_store.append_plain_batch(
        p_epoch, p_key, p_request_hash, p_answer, p_stream, p_expected, p_behind, p_event_id,
            p_event_type, p_event_schema, p_event_data,
        p_event_metadata, p_event_tags);
    -- This runs before the commit. In the new transaction after it, every expression would have to
    -- be prepared again.
    epoch := answer.epoch;
    head := answer.head;
    head_event_id := answer.head_event_id;
    version := answer.version;
    waited := date_part('epoch', answer.recorded_at - statement_timestamp());
    IF answer.status IS NOT NULL THEN
        status := answer.status;
        number := answer.number;
        index := answer.index;
        detail := answer.detail;
    END IF;
    COMMIT;
END
$procedure$;
