-- $1: an epoch that somebody knows.
SELECT EXISTS (SELECT FROM event_store.epochs AS e WHERE e.epoch = $1 OR $1 = ANY (e.abandoned))
    AS "descends!"
