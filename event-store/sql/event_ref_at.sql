SELECT event_id FROM event_store.events WHERE position = $1
