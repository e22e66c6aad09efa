SELECT
    l.epoch AS "epoch!",
    e.position AS "position?",
    e.event_id AS "event_id?"
FROM event_store.log AS l
LEFT JOIN LATERAL (SELECT position, event_id FROM event_store.events ORDER BY position DESC
    LIMIT 1) AS e ON true
