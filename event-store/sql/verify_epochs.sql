-- The epochs of the log, in the order of their ids, which is the order in which they began.
SELECT e.epoch, e.began_after, l.epoch AS "current!"
FROM event_store.epochs AS e
CROSS JOIN event_store.log AS l
ORDER BY e.epoch
