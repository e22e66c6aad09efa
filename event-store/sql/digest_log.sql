SELECT s.o_digested_to AS "digested_to!", s.o_head AS "head!" FROM event_store.digest_log($1) AS s
