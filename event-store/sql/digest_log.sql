SELECT s.o_sealed_to AS "sealed_to!", s.o_head AS "head!" FROM event_store.seal($1) AS s
