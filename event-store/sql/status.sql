SELECT
    l.epoch AS "epoch!",
    coalesce(last.position, 0) AS "position!",
    last.event_id AS "event_id?",
    last.recorded_at AS "recorded_at?",
    (SELECT max(s.last_position) FROM event_store.digests AS s) AS "digested_to?",
    (SELECT count(*) FROM event_store.epochs) AS "epochs!",
    (SELECT count(*) FROM event_store.reservations) AS "reservations!",
    (SELECT greatest(c.reltuples, 0)::bigint FROM pg_class AS c
        WHERE c.oid = 'event_store.idempotency'::regclass) AS "keys_about!",
    pg_total_relation_size('event_store.events') + pg_total_relation_size('event_store.tags')
        AS "bytes!",
    (SELECT count(*) FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.query LIKE 'CALL event_store.append%'
            AND a.state = 'active' AND a.wait_event_type = 'Lock'
    ) AS "waiting_appends!"
FROM event_store.log AS l
LEFT JOIN LATERAL (SELECT e.position, e.event_id, e.recorded_at FROM event_store.events AS e
    ORDER BY e.position DESC LIMIT 1) AS last ON true
