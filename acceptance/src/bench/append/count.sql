SELECT
    (SELECT count(*) FROM event_store.events),
    (SELECT coalesce(max(position), 0) FROM event_store.events),
    (SELECT count(*) FROM event_store.tags),
    (SELECT count(*) FROM reference.events)
