SELECT event_store.begin_epoch($1, $2) AS "epoch!"
