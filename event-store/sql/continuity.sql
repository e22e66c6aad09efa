SELECT l.epoch AS "epoch!", e.event_id AS "event_id?"
FROM event_store.log AS l
LEFT JOIN event_store.events AS e ON e.position = $1
