SELECT e.epoch, e.began_after, e.reason, e.abandoned, e.created_at
FROM event_store.epochs AS e
ORDER BY e.created_at, e.epoch = (SELECT l.epoch FROM event_store.log AS l)
