-- Writes to the log: the procedure event_store.append, over the function event_store.append_batch.
--
-- The function checks and writes, and the procedure commits. So the row lock is released before the
-- answer reaches the client, and a disconnected client blocks nobody. There are two, because a
-- SECURITY DEFINER procedure could not commit.
--
-- A batch contains many appends ("members"). Each is decided in order, and a refused one does not
-- affect the others. Everything is set-based, and statements with empty arrays are skipped. The
-- result equals one-by-one execution only if members do not affect each other, which the caller
-- ensures. A batch that breaks this rule is rejected as a whole (DB002 or a unique violation).
--
-- Members may name the same stream if each names, in p_behind, the last event of the previous
-- member: a chain. Its versions are checked in order, so each member sees what the earlier ones
-- leave. After a refused member, all members behind it in the chain are refused with the actual
-- version: the event that they were decided on does not exist, whatever version the stream has by
-- then.
--
-- Arrays run over members (p_append_id, p_epoch, p_event_count, p_key, p_request_hash, p_answer),
-- over the streams that members name (p_stream…), over events in order of member and stream
-- (p_event…), over the items of the conditions' queries (p_condition…), over reservations
-- (p_reservation…), and over subjects (p_subject…). Indexes start at 1. Arrays that would be empty,
-- or contain only nulls, are null, because PL/pgSQL unpacks every array, even an empty one.
--
-- A plain batch, the most common one, has a fast path: append_plain, in the next migration.
--
-- Answers: o_status per member (event_store.append_status, below), null if all were appended now;
-- details are in o_number, o_index and o_detail. o_version per stream: its version before the
-- batch. o_head, o_head_event_id: the log before the batch. The procedure also returns the seconds
-- until the lock was held (waited), from the arrival of the call to the time of the batch.
--
-- An event of the type stream.closed closes a stream: it is the stream's last event. The version
-- lookup reports a closed stream as a version of -2 or less (-2 - version), so open streams cost
-- nothing extra.
--
-- The store's connection plans each statement once, with index access to every table
-- (event-store/src/postgres/connect.rs). A plan is made while the tables may be empty, and must
-- stay good as they grow. The connection sets this and not the function: six SET clauses cost 14 us
-- per call, of 86. For the same reason the search_path is checked and not set, which alone costs 26
-- us. A function that runs with its owner's rights must not look up names where its caller could
-- put others. The check itself uses qualified names, so nobody can redirect it.

-- The result for a member. event-store/src/postgres/call/status.rs has the same names, and its test
-- compares them. An enum is as cheap as a number, because it is stored as one.
CREATE TYPE event_store.append_status AS ENUM (
    'appended',          -- now
    'sent_again',        -- earlier: the batch was sent again
    'repeated',          -- earlier, with its idempotency key; o_detail: the record
    'key_reused',        -- refused, like all below: the key belongs to another request
    'other_epoch',       -- the log has another epoch
    'duplicate_event',   -- an event id exists; o_detail: which one
    'wrong_version',     -- o_index: index in p_stream; o_number: its version
    'condition_broken',  -- o_index: which one; o_number: the position of the violating event
    'reserved',          -- o_index: which reservation; o_detail: its owner
    'stream_closed',     -- o_index: index in p_stream
    'subject_erased'     -- o_detail: which one
);

CREATE FUNCTION event_store.append_batch(
    p_append_id        uuid[],
    p_epoch            uuid[],      -- the epoch that the caller has read
    p_event_count      integer[],
    p_key              bytea[],
    p_request_hash     bytea[],
    p_answer           text[],
    p_stream           text[],
    p_stream_member    integer[],
    p_stream_count     integer[],   -- the number of its events
    p_expected         bigint[],    -- -1 any, -2 at least one event, otherwise exactly this version
    p_behind           uuid[],      -- the id that its last event must have, or null
    p_event_member     integer[],
    p_event_stream     integer[],   -- index in p_stream
    p_event_nth        integer[],   -- index among the member's events
    p_event_nth_in_stream integer[],
    p_event_id         uuid[],
    p_event_type       text[],
    p_event_schema     integer[],
    p_event_data       text[],
    p_event_metadata   text[],
    p_event_tags       text[],      -- joined by blanks
    p_condition_member integer[],
    p_condition_index  integer[],
    p_condition_after  bigint[],    -- already checked up to here
    -- the position found by that check, or null; for the procedure also -1: see below
    p_condition_broken bigint[],
    p_condition_tags   text[],      -- joined by blanks; an event must carry all
    p_condition_types  text[],      -- joined by blanks; an event must have one, or any if empty
    p_reservation_member     integer[],
    p_reservation_index      integer[],
    p_reservation_scope      text[],
    p_reservation_hash       bytea[],
    p_reservation_release    text[],      -- the stream that releases it, or null
    p_reservation_take       text[],      -- the stream that then takes it, or null
    p_subject_member   integer[],
    -- must not be erased: the stream subject-<subject> has no events
    p_subject          uuid[],
    OUT o_epoch         uuid,
    OUT o_head          bigint,
    OUT o_head_event_id uuid,
    OUT o_recorded_at   timestamptz,
    OUT o_status        event_store.append_status[],
    OUT o_version       bigint[],
    OUT o_number        bigint[],
    OUT o_index         integer[],
    OUT o_detail        text[]
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
AS $function$
DECLARE
    isolation  text;
    -- a setting with which the server can lose what it acknowledges
    unsafe     text;
    members    integer;
    none       event_store.append_status[];  -- no member is refused
    clean      boolean;             -- no member was refused or appended earlier
    -- per member: the position before its first event; only filled if it is needed
    base       bigint[];
    next_base  bigint;
    duplicate  text[];              -- per member: an event id of it that exists in the log
    broken     boolean;             -- a stream has another version than expected
    seen       boolean;             -- an event id exists in the log
    ends       integer[];           -- per stream: the index of its last event in this batch
    -- per stream: its last event before the member; filled if p_behind is
    lasts      uuid[];
    closed     boolean[];           -- per stream: whether it is closed before the member
    -- the previous member on the same stream was appended now, with events
    happened   boolean;
    i          integer;
    r          record;
BEGIN
    IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, pg_temp' THEN
        RAISE EXCEPTION 'append needs the search_path pg_catalog, pg_temp' USING ERRCODE = 'DB001';
    END IF;
    -- Every check below reads everything committed before this lock was granted, because each
    -- statement of a volatile function has its own snapshot.
    SELECT l.epoch, current_setting('transaction_isolation'), event_store.unsafe_setting()
        INTO STRICT o_epoch, isolation, unsafe FROM event_store.log AS l FOR UPDATE;
    IF isolation <> 'read committed' THEN
        RAISE EXCEPTION 'append needs the isolation level read committed' USING ERRCODE = 'DB001';
    ELSIF unsafe IS NOT NULL THEN
        RAISE EXCEPTION '%', unsafe USING ERRCODE = 'DB004';
    END IF;

    -- The head, the versions of the streams in order of p_stream, and whether an event id exists in
    -- the log. It is one query, because each statement has a fixed cost.
    SELECT coalesce(h.position, 0), h.event_id, greatest(clock_timestamp(), h.recorded_at),
        v.versions, v.broken,
           EXISTS (SELECT FROM event_store.events AS e WHERE e.event_id = ANY (p_event_id))
        INTO o_head, o_head_event_id, o_recorded_at, o_version, broken, seen
        FROM (SELECT array_agg(s.actual) AS versions,
                     bool_or(s.actual < 0 OR CASE s.expected WHEN -1 THEN false WHEN -2
                         THEN s.actual = 0 ELSE s.actual <> s.expected END) AS broken
                  FROM (SELECT p_expected[n] AS expected, coalesce((SELECT CASE e.event_type
                      WHEN 'stream.closed' THEN -2 - e.version ELSE e.version END
                                FROM event_store.events AS e WHERE e.stream = p_stream[n]
                                    ORDER BY e.version DESC LIMIT 1), 0) AS actual
                            FROM generate_subscripts(p_stream, 1) AS n
                            OFFSET 0) AS s) AS v  -- OFFSET 0 prevents a second look-up
        LEFT JOIN (SELECT e.position, e.event_id, e.recorded_at FROM event_store.events AS e
            ORDER BY e.position DESC LIMIT 1) AS h ON true;

    members := cardinality(p_append_id);
    none := array_fill('appended'::event_store.append_status, ARRAY[members]);
    o_status := none;
    o_number := array_fill(NULL::bigint, ARRAY[members]);
    o_index := array_fill(NULL::integer, ARRAY[members]);
    o_detail := array_fill(NULL::text, ARRAY[members]);

    -- Was it sent again, or does the log have an event id in another append?
    IF seen THEN
        FOR r IN
            SELECT u.member, min(e.position - u.nth) AS first, min(e.event_id::text) AS id,
                   bool_and(e.position IS NOT NULL AND e.stream = p_stream[u.stream]
                       AND e.event_type = u.event_type AND e.data::text = u.data)
                       AND min(e.position - u.nth) = max(e.position - u.nth) AS same
                FROM unnest(p_event_member, p_event_stream, p_event_nth, p_event_id, p_event_type,
                    p_event_data)
                       AS u (member, stream, nth, event_id, event_type, data)
                LEFT JOIN event_store.events AS e ON e.event_id = u.event_id
                GROUP BY u.member HAVING count(e.position) > 0
        LOOP
            IF r.same THEN
                o_status[r.member] := 'sent_again';
                o_number[r.member] := r.first + p_event_count[r.member];
            ELSE
                duplicate[r.member] := r.id;
            END IF;
        END LOOP;
    END IF;

    -- The idempotency keys.
    IF p_key IS NOT NULL THEN
        FOR r IN
            -- An append with events was recognised by those. Its first event's id alone may be in
            -- another append with the same key.
            SELECT u.member, k.append_id = p_append_id[u.member] AND p_event_count[u.member] = 0
                AS sent_again, k.request_hash = p_request_hash[u.member] AS same,
                   k.position, k.event_count, k.streams, k.versions, k.answer,
                   (SELECT e.event_id FROM event_store.events AS e WHERE e.position = k.position)
                       AS event_id,
                   -- Whatever is where the record says belongs to the current history, in whichever
                   -- epoch it was appended.
                   CASE WHEN k.position = 0 OR EXISTS (
                       SELECT FROM event_store.events AS e
                           WHERE e.position = k.position - greatest(k.event_count - 1, 0)
                           AND (k.event_count = 0 OR e.event_id = k.append_id)) THEN o_epoch
                               ELSE k.epoch END AS epoch
                FROM unnest(p_key) WITH ORDINALITY AS u (key, member) JOIN event_store.idempotency
                    AS k ON k.key = u.key
        LOOP
            IF o_status[r.member] <> 'appended' THEN
                CONTINUE;
            ELSIF r.sent_again THEN
                o_status[r.member] := 'sent_again';
                o_number[r.member] := r.position;
                o_detail[r.member] := r.event_id;
            ELSIF r.same THEN
                o_status[r.member] := 'repeated';
                o_detail[r.member] := json_build_object('epoch', r.epoch, 'position', r.position,
                    'event_id', r.event_id,
                    'count', r.event_count, 'streams', r.streams, 'versions', r.versions, 'answer',
                        r.answer);
            ELSE
                o_status[r.member] := 'key_reused';
            END IF;
        END LOOP;
    END IF;

    IF p_epoch IS NOT NULL THEN
        FOR i IN 1 .. members LOOP
            IF o_status[i] = 'appended' AND p_epoch[i] <> o_epoch THEN
                o_status[i] := 'other_epoch';
            END IF;
        END LOOP;
    END IF;

    IF duplicate IS NOT NULL THEN
        FOR i IN array_lower(duplicate, 1) .. array_upper(duplicate, 1) LOOP
            IF o_status[i] = 'appended' AND duplicate[i] IS NOT NULL THEN
                o_status[i] := 'duplicate_event';
                o_detail[i] := duplicate[i];
            END IF;
        END LOOP;
    END IF;

    -- The subjects whose data the append contains. After subject.erased there may be none.
    IF p_subject IS NOT NULL THEN
        IF members > 1 AND EXISTS (SELECT FROM unnest(p_subject) AS u (subject)
            WHERE 'subject-' || u.subject = ANY (p_stream)) THEN
            RAISE EXCEPTION 'an append of a batch may erase the subject of another one'
                USING ERRCODE = 'DB002';
        END IF;
        FOR r IN
            SELECT u.member, u.subject FROM unnest(p_subject_member, p_subject) AS u (member,
                subject)
                WHERE EXISTS (SELECT FROM event_store.events AS e
                    WHERE e.stream = 'subject-' || u.subject) ORDER BY u.member, u.subject
        LOOP
            IF o_status[r.member] = 'appended' THEN
                o_status[r.member] := 'subject_erased';
                o_detail[r.member] := r.subject;
            END IF;
        END LOOP;
    END IF;

    -- The conditions: only events since the caller's own check.
    IF p_condition_member IS NOT NULL THEN
        FOR r IN
            SELECT c.member, c.index, min(coalesce(c.broken, (
                       SELECT t.position FROM event_store.tags AS t
                           WHERE t.tag = split_part(c.tags, ' ', 1) AND t.position > c.after
                             AND EXISTS (SELECT FROM event_store.events AS e
                                 WHERE e.position = t.position
                                             AND e.tags @> string_to_array(c.tags, ' ')
                                             AND (c.types = '' OR e.event_type
                                                 = ANY (string_to_array(c.types, ' '))))
                           ORDER BY t.position LIMIT 1))) AS position
                FROM unnest(p_condition_member, p_condition_index, p_condition_after,
                    p_condition_broken, p_condition_tags, p_condition_types)
                       AS c (member, index, after, broken, tags, types)
                GROUP BY c.member, c.index ORDER BY c.member, c.index
        LOOP
            IF o_status[r.member] = 'appended' AND r.position IS NOT NULL THEN
                o_status[r.member] := 'condition_broken';
                o_number[r.member] := r.position;
                o_index[r.member] := r.index;
            END IF;
        END LOOP;
    END IF;

    -- The reservations.
    IF p_reservation_member IS NOT NULL THEN
        IF members > 1 AND (SELECT count(*) <> count(DISTINCT (u.scope, u.hash))
            FROM unnest(p_reservation_scope, p_reservation_hash) AS u (scope, hash)) THEN
            RAISE EXCEPTION 'two appends of a batch change the same reservation'
                USING ERRCODE = 'DB002';
        END IF;
        FOR r IN
            SELECT u.member, u.index, c.owner
                FROM unnest(p_reservation_member, p_reservation_index, p_reservation_scope,
                    p_reservation_hash, p_reservation_release, p_reservation_take)
                       AS u (member, index, scope, hash, release, take)
                JOIN event_store.reservations AS c ON c.scope = u.scope AND c.hash = u.hash
                WHERE u.take IS NOT NULL AND c.owner <> u.take AND c.owner IS DISTINCT
                    FROM u.release
                ORDER BY u.member, u.index
        LOOP
            IF o_status[r.member] = 'appended' THEN
                o_status[r.member] := 'reserved';
                o_index[r.member] := r.index;
                o_detail[r.member] := r.owner;
            END IF;
        END LOOP;
    END IF;

    -- The versions come last, because each member must know the result of earlier ones on its
    -- streams. They take precedence over a refusal by a condition or a reservation. If all members
    -- are appended and no stream occurs twice here, the query above is sufficient. An unnoticed
    -- second occurrence is a unique violation.
    IF broken OR p_behind IS NOT NULL OR members > 1 AND (o_status <> none
        OR 0 = ANY (p_stream_count)) THEN
        i := 0;
        FOR r IN
            SELECT u.nth, u.member, u.count, u.expected, u.behind,
                lag(u.nth) OVER (PARTITION BY u.stream ORDER BY u.nth) AS before,
                   CASE WHEN p_behind IS NOT NULL THEN
                       (SELECT e.event_id FROM event_store.events AS e WHERE e.stream = u.stream
                           ORDER BY e.version DESC LIMIT 1)
                   END AS last
                FROM unnest(p_stream, p_stream_member, p_stream_count, p_expected,
                    p_behind) WITH ORDINALITY
                         AS u (stream, member, count, expected, behind, nth)
                ORDER BY u.nth
        LOOP
            -- Events are in the order of p_stream.
            i := i + r.count;
            ends[r.nth] := i;
            IF r.before IS NULL THEN
                lasts[r.nth] := r.last;
                closed[r.nth] := o_version[r.nth] < 0;
                IF closed[r.nth] THEN
                    o_version[r.nth] := -2 - o_version[r.nth];
                END IF;
            ELSE
                happened := o_status[p_stream_member[r.before]] = 'appended'
                    AND p_stream_count[r.before] > 0;
                lasts[r.nth] := CASE WHEN happened THEN p_event_id[ends[r.before]]
                    ELSE lasts[r.before] END;
                closed[r.nth] := closed[r.before] OR happened
                    AND p_event_type[ends[r.before]] = 'stream.closed';
                o_version[r.nth] := o_version[r.before] + CASE WHEN happened
                    THEN p_stream_count[r.before] ELSE 0 END;
            END IF;
            IF o_status[r.member] NOT IN ('appended', 'condition_broken', 'reserved') THEN
                CONTINUE;
            ELSIF closed[r.nth] AND r.count > 0 THEN
                o_status[r.member] := 'stream_closed';
            ELSIF r.behind IS NOT NULL AND r.behind IS DISTINCT FROM lasts[r.nth]
                OR (CASE r.expected WHEN -1 THEN false WHEN -2 THEN o_version[r.nth] = 0
                    ELSE o_version[r.nth] <> r.expected END)
            THEN
                o_status[r.member] := 'wrong_version';
            ELSE
                CONTINUE;
            END IF;
            o_number[r.member] := o_version[r.nth];
            o_index[r.member] := r.nth;
            o_detail[r.member] := NULL;
        END LOOP;
    END IF;

    -- Do members name the same thing? If no member is refused, the unique constraints would report
    -- it.
    clean := o_status = none;
    IF members > 1 AND NOT clean AND (
        (SELECT count(*) <> count(DISTINCT u.id) FROM unnest(p_event_id) AS u (id))
        OR (SELECT count(u.key) <> count(DISTINCT u.key) FROM unnest(p_key) AS u (key)))
    THEN
        RAISE EXCEPTION 'two appends of a batch name the same event id or key'
            USING ERRCODE = 'DB002';
    END IF;

    -- Positions, for members that were not refused.
    next_base := o_head + coalesce(cardinality(p_event_id), 0);
    IF NOT clean OR p_key IS NOT NULL OR p_reservation_member IS NOT NULL
        OR p_condition_member IS NOT NULL THEN
        next_base := o_head;
        base := array_fill(o_head, ARRAY[members]);
        FOR i IN 1 .. members LOOP
            base[i] := next_base;
            IF o_status[i] = 'appended' THEN
                next_base := next_base + p_event_count[i];
            END IF;
        END LOOP;
    END IF;

    IF next_base > o_head THEN
        WITH added AS (
            INSERT INTO event_store.events (position, version, event_id, recorded_at,
                schema_version, stream, event_type, data, tags, metadata)
                SELECT CASE WHEN clean THEN o_head + u.ordinal ELSE base[u.member] + u.nth END,
                    o_version[u.stream] + u.nth_in_stream, u.event_id, o_recorded_at,
                        u.schema_version,
                       p_stream[u.stream], u.event_type, u.data::json, string_to_array(u.tags,
                           ' '), u.metadata::json
                    FROM unnest(p_event_member, p_event_stream, p_event_nth, p_event_nth_in_stream,
                        p_event_id, p_event_type, p_event_schema,
                                p_event_data, p_event_metadata, p_event_tags) WITH ORDINALITY
                           AS u (member, stream, nth, nth_in_stream, event_id, event_type,
                               schema_version, data, metadata, tags, ordinal)
                    WHERE clean OR o_status[u.member] = 'appended'
                RETURNING tags, position
        )
        INSERT INTO event_store.tags (tag, position) SELECT unnest(added.tags), added.position
            FROM added;
    END IF;

    IF p_condition_member IS NOT NULL AND members > 1 AND next_base > o_head AND EXISTS (
        SELECT FROM unnest(p_condition_member, p_condition_tags, p_condition_types) AS c (member,
            tags, types)
            WHERE o_status[c.member] IN ('appended', 'condition_broken', 'reserved') AND EXISTS (
                SELECT FROM event_store.tags AS t JOIN event_store.events AS e
                    ON e.position = t.position
                    WHERE t.tag = split_part(c.tags, ' ', 1) AND t.position > o_head
                        AND t.position <= base[c.member]
                      AND e.tags @> string_to_array(c.tags, ' ')
                      AND (c.types = '' OR e.event_type = ANY (string_to_array(c.types, ' ')))))
    THEN
        RAISE EXCEPTION 'an append of a batch breaks the condition of a later one'
            USING ERRCODE = 'DB002';
    END IF;

    IF p_reservation_member IS NOT NULL THEN
        DELETE FROM event_store.reservations AS c
            USING unnest(p_reservation_member, p_reservation_scope, p_reservation_hash,
                p_reservation_release, p_reservation_take) AS u (member, scope, hash, release, take)
            WHERE o_status[u.member] = 'appended' AND c.scope = u.scope AND c.hash = u.hash
                AND c.owner = u.release;
        INSERT INTO event_store.reservations (scope, hash, owner, position)
            SELECT u.scope, u.hash, u.take, base[u.member] + p_event_count[u.member]
                FROM unnest(p_reservation_member, p_reservation_scope, p_reservation_hash,
                    p_reservation_take) AS u (member, scope, hash, take)
                WHERE o_status[u.member] = 'appended' AND u.take IS NOT NULL
            -- already its own: others were refused above
            ON CONFLICT (scope, hash) DO NOTHING;
    END IF;

    IF p_key IS NOT NULL THEN
        INSERT INTO event_store.idempotency (key, request_hash, append_id, epoch, position,
            event_count, streams, versions, answer)
            SELECT p_key[s.member], p_request_hash[s.member], p_append_id[s.member], o_epoch,
                   base[s.member] + p_event_count[s.member], p_event_count[s.member], s.streams,
                       s.versions, p_answer[s.member]::json
                FROM (SELECT u.member, coalesce(array_agg(u.stream
                    ORDER BY u.nth) FILTER (WHERE u.nth > 0), '{}') AS streams,
                             coalesce(array_agg(u.version ORDER BY u.nth) FILTER (WHERE u.nth > 0),
                                 '{}') AS versions
                          FROM (SELECT x.member, x.stream, x.version + x.count AS version, x.nth
                                    FROM unnest(p_stream_member, p_stream, o_version,
                                        p_stream_count) WITH ORDINALITY AS x (member, stream,
                                            version, count, nth)
                                UNION ALL SELECT m, NULL, NULL, 0 FROM generate_series(1, members)
                                    AS m) AS u
                          GROUP BY u.member) AS s
                WHERE o_status[s.member] = 'appended' AND p_key[s.member] IS NOT NULL;
    END IF;

    IF clean THEN
        o_status := NULL;
    ELSIF 'sent_again' = ANY (o_status) THEN
        -- The versions that a resent append left behind, as if it were new.
        FOR r IN
            SELECT u.nth, coalesce((SELECT e.version FROM event_store.events AS e
                       WHERE e.stream = u.stream AND e.position <= o_number[u.member]
                           ORDER BY e.version DESC LIMIT 1), 0) - u.count AS version
                FROM unnest(p_stream_member, p_stream, p_stream_count) WITH ORDINALITY
                    AS u (member, stream, count, nth)
                WHERE o_status[u.member] = 'sent_again'
        LOOP
            o_version[r.nth] := r.version;
        END LOOP;
    END IF;
END
$function$;

CREATE PROCEDURE event_store.append(
    p_append_id uuid[], p_epoch uuid[], p_event_count integer[], p_key bytea[],
        p_request_hash bytea[], p_answer text[],
    p_stream text[], p_stream_member integer[], p_stream_count integer[], p_expected bigint[],
        p_behind uuid[],
    p_event_member integer[], p_event_stream integer[], p_event_nth integer[],
        p_event_nth_in_stream integer[], p_event_id uuid[],
    p_event_type text[], p_event_schema integer[], p_event_data text[], p_event_metadata text[],
        p_event_tags text[],
    p_condition_member integer[], p_condition_index integer[], p_condition_after bigint[],
        p_condition_broken bigint[],
    p_condition_tags text[], p_condition_types text[],
    p_reservation_member integer[], p_reservation_index integer[], p_reservation_scope text[],
        p_reservation_hash bytea[], p_reservation_release text[], p_reservation_take text[],
    p_subject_member integer[], p_subject uuid[],
    OUT epoch uuid, OUT head bigint, OUT head_event_id uuid, OUT status text[],
        OUT version bigint[],
    OUT number bigint[], OUT index integer[], OUT detail text[], OUT waited double precision
)
LANGUAGE plpgsql
AS $procedure$
DECLARE
    r record;
BEGIN
    -- Items marked -1 are not checked yet. They are checked here, before the lock, so that only
    -- newer events remain to be checked under it. At most 64 events with an item's first tag are
    -- inspected, because the next batch waits meanwhile. An item with more stays undecided: it is
    -- refused as broken at -2 - (the last inspected position). Its caller then checks it with a
    -- separate statement (sql/check_conditions.sql) and sends the append again. All of this is one
    -- snapshot: it covers events up to the head that is read here.
    IF -1 = ANY (p_condition_broken) THEN
        SELECT array_agg(CASE WHEN c.broken = -1 AND near.broken IS NULL THEN greatest(c.after,
            head.position) ELSE c.after END ORDER BY c.nth),
               array_agg(CASE WHEN c.broken IS DISTINCT FROM -1 THEN c.broken
                              WHEN near.broken IS NULL AND near.looked = 64 THEN -2 - near.reached
                              ELSE near.broken END ORDER BY c.nth)
            INTO p_condition_after, p_condition_broken
            FROM unnest(p_condition_after, p_condition_broken, p_condition_tags,
                p_condition_types) WITH ORDINALITY
                    AS c (after, broken, tags, types, nth)
            CROSS JOIN (SELECT coalesce((SELECT e.position FROM event_store.events AS e
                ORDER BY e.position DESC LIMIT 1), 0) AS position OFFSET 0) AS head
            CROSS JOIN LATERAL (
                SELECT min(t.position) FILTER (WHERE t.matches) AS broken, count(*) AS looked,
                    max(t.position) AS reached
                    FROM (SELECT t.position, strpos(c.tags, ' ') = 0 AND c.types = '' OR EXISTS (
                                     SELECT FROM event_store.events AS e
                                         WHERE e.position = t.position
                                         AND e.tags @> string_to_array(c.tags, ' ')
                                         AND (c.types = '' OR e.event_type
                                             = ANY (string_to_array(c.types, ' ')))) AS matches
                              FROM event_store.tags AS t
                              WHERE c.broken = -1 AND t.tag = split_part(c.tags, ' ', 1)
                                  AND t.position > c.after
                              -- With only a tag, the first event found decides.
                              ORDER BY t.position LIMIT CASE WHEN strpos(c.tags, ' ') = 0
                                  AND c.types = '' THEN 1 ELSE 64 END) AS t
            ) AS near;
    END IF;
    r := event_store.append_batch(
        p_append_id, p_epoch, p_event_count, p_key, p_request_hash, p_answer, p_stream,
            p_stream_member, p_stream_count, p_expected,
        p_behind, p_event_member, p_event_stream, p_event_nth, p_event_nth_in_stream, p_event_id,
            p_event_type, p_event_schema, p_event_data,
        p_event_metadata, p_event_tags, p_condition_member, p_condition_index, p_condition_after,
            p_condition_broken,
        p_condition_tags, p_condition_types, p_reservation_member, p_reservation_index,
            p_reservation_scope, p_reservation_hash, p_reservation_release, p_reservation_take,
        p_subject_member, p_subject);
    -- This runs before the commit. In the new transaction after it, every expression would have to
    -- be prepared again.
    epoch := r.o_epoch;
    head := r.o_head;
    head_event_id := r.o_head_event_id;
    version := r.o_version;
    waited := date_part('epoch', r.o_recorded_at - statement_timestamp());
    IF r.o_status IS NOT NULL THEN
        status := r.o_status;
        number := r.o_number;
        index := r.o_index;
        detail := r.o_detail;
    END IF;
    COMMIT;
END
$procedure$;
