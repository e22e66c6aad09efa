-- $1: the newest position that is known, $2: the epoch that is known.
SELECT
    l.epoch AS "epoch!",
    e.event_id AS "event_id?",
    EXISTS (SELECT FROM event_store.epochs AS k WHERE k.epoch = $2 OR $2 = ANY (k.abandoned))
        AS "descends!"
FROM event_store.log AS l
LEFT JOIN event_store.events AS e ON e.position = $1
